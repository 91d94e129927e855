"""Keys of the TIDL-RT importer about what goes into the network and what comes out."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nibblefit_tidl.configuration.fields import (
    Configuration,
    Finite,
    Flag,
    Positive,
    at_least,
    one_of,
)

UNSIGNED_8, SIGNED_8, UNSIGNED_16, SIGNED_16, FLOAT = 0, 1, 2, 3, 6
ENCODED, RAW, LIST, RAW_LIST = range(4)
#: Most entries of a list per channel.
LARGEST_CHANNELS = 256
Element = Annotated[int, one_of(UNSIGNED_8, SIGNED_8, UNSIGNED_16, SIGNED_16, FLOAT)]
GivenElement = Annotated[int, one_of(-1, UNSIGNED_8, SIGNED_8, UNSIGNED_16, SIGNED_16, FLOAT)]
Size = Annotated[int, at_least(1, -1, most=1 << 16)]
Deep = Annotated[int, at_least(1, most=1024)]
PerInput = Annotated[tuple[Element, ...], Field(max_length=16)]
Flags = Annotated[tuple[Flag, ...], Field(max_length=16)]
Sizes = Annotated[tuple[Size, ...], Field(max_length=16)]
Depths = Annotated[tuple[Deep, ...], Field(max_length=16)]
PerChannel = Annotated[tuple[Finite, ...], Field(max_length=LARGEST_CHANNELS)]


class InputKeys(Configuration):
    """Inputs: where frames come from, element types, normalization, sizes."""

    in_file_format: Annotated[int, at_least(0, most=3)] = Field(
        default=LIST,
        description="inData is 0: an encoded image, 1: raw data, 2: a list of images, 3: a list of "
        "raw files.",
    )
    in_data: str = Field(default="", description="Calibration frames, or a list of their files.")
    in_element_type: PerInput = Field(
        default=(0,),
        description="Per input: 0 unsigned 8, 1 signed 8, 2 unsigned 16, 3 signed 16 bits, 6 "
        "float.",
    )
    raw_data_in_element_type: Annotated[tuple[GivenElement, ...], Field(max_length=16)] = Field(
        default=(-1,), description="Per input: type of the raw calibration data; -1: that of input."
    )
    in_zero_point: tuple[int, ...] = Field(default=(0,), description="Per input: code of zero.")
    in_layout: Flags = Field(default=(0,), description="Per input: 0 NCHW, 1 NHWC.")
    in_tensor_scale: tuple[Positive, ...] = Field(
        default=(1.0,), description="Per input: codes per unit. Also called inQuantFactor."
    )
    in_data_norm: Flags = Field(
        default=(0,),
        description="Per input: 1 has the network compute (x - inMean) * inScale first, so that "
        "it takes integers.",
    )
    in_mean: PerChannel = Field(
        default=(), description="Per channel: subtracted first, in units of the input."
    )
    in_scale: PerChannel = Field(default=(), description="Per channel: multiplied after that.")
    in_data_pad_in_t_i_d_l: Flag = Field(
        default=0, alias="inDataPadInTIDL", description="1: TIDL pads the input itself."
    )
    in_data_format: Flags = Field(default=(1,), description="Per input: 0 BGR, 1 RGB, planar.")
    in_width: Sizes = Field(default=(-1,), description="Per input: columns; -1: from the network.")
    in_height: Sizes = Field(default=(-1,), description="Per input: rows; -1: from the network.")
    in_num_channels: Sizes = Field(
        default=(-1,), description="Per input: channels; -1: from the network."
    )
    in_dim1: Depths = Field(default=(1,), alias="inDIM1", description="Per input: first axis.")
    in_dim2: Depths = Field(default=(1,), alias="inDIM2", description="Per input: second axis.")
    num_batches: Depths = Field(default=(1,), description="Per input: frames in one run.")
    resize_width: Sizes = Field(default=(-1,), description="Images are resized to that width.")
    resize_height: Sizes = Field(default=(-1,), description="Images are resized to that height.")
    in_resize_type: tuple[int, ...] = Field(default=(0,), description="How images are resized.")
    in_yuv_format: tuple[Annotated[int, one_of(-1, 0)], ...] = Field(
        default=(-1,), description="Per input: 0 NV12, -1 no YUV."
    )
    in_data_names_list: str = Field(default="", description="Names of input tensors, commas.")


class OutputKeys(Configuration):
    """Outputs: element types, scales, post-processing."""

    out_data_names_list: str = Field(default="", description="Names of output tensors, commas.")
    out_element_type: Annotated[tuple[GivenElement, ...], Field(max_length=16)] = Field(
        default=(-1,), description="Per output: as inElementType; -1 leaves it to the importer."
    )
    out_element_size: tuple[Annotated[int, one_of(-1, 1, 2)], ...] = Field(
        default=(-1,), description="Per output: bytes of a value, 1 or 2."
    )
    out_zero_point: tuple[int, ...] = Field(default=(0,), description="Per output: code of zero.")
    out_layout: Flags = Field(default=(0,), description="Per output: 0 NCHW, 1 NHWC.")
    out_tensor_scale: tuple[Positive, ...] = Field(
        default=(1.0,),
        description="Per output: codes per unit; a value is raw / outTensorScale. Unset: chosen by "
        "calibration.",
    )
    add_data_convert_to_net: Annotated[int, at_least(0, most=3)] = Field(
        default=0,
        description="Conversion between float and integers on the accelerator: 1 at the input, 2 "
        "at the output, 3 both.",
    )
    meta_arch_type: Annotated[int, at_least(0, -1)] = Field(
        default=-1, description="Detection head: 3 SSD, 6 YOLOX, 8 and others; -1 none."
    )
    meta_layers_names_list: str = Field(
        default="", description="Prototxt that describes the detection head."
    )
    post_proc_type: Annotated[int, at_least(0, most=3)] = Field(
        default=0, description="0 none, 1 classification, 2 detection, 3 segmentation."
    )
    post_proc_data_id: Annotated[int, at_least(0)] = Field(
        default=0, description="Data id of the output that is post-processed."
    )

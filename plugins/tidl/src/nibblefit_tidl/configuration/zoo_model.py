"""A model description of the vendor's model zoo: preprocessing, session, results, as a model.

Source: edgeai-modelzoo of edgeai-tensorlab (f272548), files ``*_config.yaml``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nibblefit_tidl.configuration.fields import Finite

Count = Annotated[int, Field(ge=1)]
Layout = Literal["NCHW", "NHWC"]
Size = Count | Annotated[tuple[Count, Count], Field()]
#: Pad with or without, and where the picture goes.
Padding = bool | tuple[bool, Literal["corner", "center"]]


class ZooSection(BaseModel):
    """Base of all sections: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Preprocessing(ZooSection):
    """From an image file to the network's size; arithmetic comes in the session."""

    resize: Size = Field(description="Shorter side, or rows and columns, to resize to.")
    crop: Size = Field(description="Size that is cut out of the middle.")
    data_layout: Layout = Field(description="Order of axes.")
    reverse_channels: bool = Field(description="Blue first.")
    backend: Literal["pil", "cv2"] = Field(description="Library that resizes.")
    interpolation: str | None = Field(default=None, description="How it resizes.")
    resize_with_pad: Padding = Field(default=False, description="Keep the ratio, and pad.")
    pad_color: int | tuple[int, ...] = Field(default=0, description="Value of the padding.")


class Session(ZooSection):
    """The network, its normalization, and the options of the runtime."""

    session_name: Literal["onnxrt", "tflitert", "tvmdlr", "tvmrt"] = Field(
        description="Which runtime."
    )
    input_optimization: bool = Field(
        default=False, description="Mean and scale are put into the network, which takes uint8."
    )
    input_data_layout: Layout = Field(default="NCHW", description="Order of axes.")
    input_mean: tuple[Finite, ...] | None = Field(
        default=None, description="Per channel, in units of 0…255: subtracted first."
    )
    input_scale: tuple[Annotated[float, Field(gt=0.0, allow_inf_nan=False)], ...] | None = Field(
        default=None, description="Per channel: multiplied after that."
    )
    runtime_options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the provider; see ProviderOptions."
    )
    model_path: str = Field(description="File of the network.")
    model_id: str = Field(description="Its number in the zoo.")
    input_details: Any = Field(default=None, description="Inputs, where the file does not say.")
    output_details: Any = Field(default=None, description="Outputs, where the file does not say.")
    num_inputs: Count = Field(default=1, description="Inputs of the network.")


class Formatter(ZooSection):
    """How columns of detections are moved."""

    name: str = Field(description="Class that moves them.")
    src_indices: tuple[int, ...] = Field(description="Columns to take.")
    dst_indices: tuple[int, ...] = Field(description="Where they go.")


class Postprocessing(ZooSection):
    """From outputs to what is measured."""

    reshape_list: tuple[tuple[int, ...], ...] | None = Field(default=None, description="Shapes.")
    formatter: Formatter | None = Field(default=None, description="Columns of detections.")
    resize_with_pad: Padding = Field(default=False, description="As in preprocessing.")
    normalized_detections: bool = Field(default=False, description="Boxes are 0 to 1.")
    shuffle_indices: tuple[int, ...] | None = Field(default=None, description="Order of outputs.")
    squeeze_axis: int | None = Field(default=None, description="Axis to remove.")
    ignore_index: int | None = Field(default=None, description="Output to leave out.")
    logits_bbox_to_bbox_ls: bool = Field(default=False, description="Outputs are logits.")
    keypoint: bool = Field(default=False, description="Key points follow the box.")
    object6dpose: bool = Field(default=False, description="A pose follows the box.")


class Metric(ZooSection):
    """How classes are numbered."""

    label_offset_pred: int | dict[int, int] = Field(
        default=0, description="Added to every predicted class, or class by class."
    )


class Reference(ZooSection):
    """What the vendor says about it."""

    metric_reference: dict[str, Finite] = Field(
        default_factory=dict, description="Metric → value in float, percent."
    )
    model_shortlist: int | None = Field(default=None, description="Rank; lower is more important.")
    compact_name: str = Field(default="", description="Readable name.")
    shortlisted: bool = Field(default=False, description="In the short list.")
    recommended: bool = Field(default=False, description="Recommended by the vendor.")


class ZooModel(ZooSection):
    """One model description."""

    task_type: Literal["classification", "detection", "segmentation", "keypoint_detection",
                       "depth_estimation", "visual_localization"] = Field(
        description="What the network does."
    )  # fmt: skip
    dataset_category: str = Field(description="Family of data sets.")
    calibration_dataset: str = Field(description="Data set to calibrate on.")
    input_dataset: str = Field(description="Data set to measure on.")
    preprocess: Preprocessing = Field(description="From file to network size.")
    session: Session = Field(description="Network, normalization, options.")
    postprocess: Postprocessing = Field(default=Postprocessing(), description="After the network.")
    metric: Metric = Field(default=Metric(), description="Numbers of classes.")
    model_info: Reference = Field(default=Reference(), description="The vendor's results.")


class ZooIndex(ZooSection):
    """The zoo's list: model number → path of its description."""

    configs: dict[str, str] = Field(description="Model number → path.")

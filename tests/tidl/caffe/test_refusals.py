"""What is wrong with a network is said in one line, with its place, the reason and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tidl.caffe.networks import header, imported, layer

from nibblefit.errors import ExitCode, InputError, NibblefitError

RELU = "layer { name: 'r' type: 'ReLU' bottom: 'a' top: 'b' }"

#: (text, what the message says)
BAD_TEXTS = [
    ("layer {\n name: 'a'\n typ: 'ReLU' }",
     r"line 3: LayerParameter has no field 'typ'; did you mean 'type'"),
    ("layer { pooling_param { pool: MIN } }",
     r"line 1: 'MIN' is no value of PoolingParameter\.PoolMethod"),
    ("layer { name: 'a'", "line 1: Expected"),
    ("layer { name: 3 }", r"line 1: Expected string but found: '3'$"),
    ("layer { convolution_param { num_output: -3 } }", r"line 1: .*out of range"),
    ("name: 'n'", "holds no layer"),
    ("layer { name: 'a' }", "lacks its name or its type"),
    ("layers { name: 'a' type: RELU }" + RELU, "both 'layer' and 'layers'"),
    ("layers { layer { name: 'a' type: 'conv' } name: 'a' type: RELU }", "first Caffe format"),
    ("input: 'a' input_dim: 3 " + RELU, "1 values of input_dim"),
    ("input: 'a' input: 'c' input_shape { dim: 1 dim: 3 }" + RELU, "2 inputs and 1 input shapes"),
    ("input: 'a'" + RELU, "does not say how large"),
    (header(3) + layer("r", "ReLU", bottom="dat"), "reads 'dat', which nothing"),
    (header(3) + layer("r", "ReLU", top="data2") * 2, "two layers called 'r'"),
    (header(3) + layer("r", "ReLU") + layer("s", "TanH", top="r"), "makes 'r', which exists"),
    (header(3) + layer("r", "ReLU", "include { phase: TEST } exclude { phase: TRAIN }"),
     "both include and"),
    ("layer { name: 'a\\377' type: 'ReLU' bottom: 'a' top: 'b' }", "Couldn't parse string"),
    (header(3) + "layer { name: 's' type: 'Silence' bottom: 'data' }", "computes nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), BAD_TEXTS)
def test_bad_text_is_one_line_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    """What is wrong, the line, and the nearest name."""
    with pytest.raises(InputError, match=said) as caught:
        imported(tmp_path, text)
    assert "\n" not in caught.value.what
    assert caught.value.exit_code is ExitCode.USAGE


def test_an_input_shape_is_for_one_input(tmp_path: Path) -> None:
    """Two inputs cannot both have it."""
    text = header(3) + header(3, name="b").replace('name: "net"', "") + layer("r", "ReLU")
    with pytest.raises(InputError, match="several inputs"):
        imported(tmp_path, text, input_shape=(3,))


CONV, POOL, ELTWISE = "convolution_param", "pooling_param", "eltwise_param"
ONE = "num_output: 4 kernel_size: 1"
BILINEAR = "num_output: 4 kernel_size: [2, 3] weight_filler { type: 'bilinear' }"
#: (type, settings, bottoms, what the message says) of a layer called l with the top l.
REFUSED = [
    ("LRN", "", "data", "statistics depend on the data"),
    ("Python", "", "data", "runs code that no file holds"),
    ("Convolutoin", "", "data", "did you mean 'Convolution'"),
    ("Zzz", "", "data", "no such Caffe layer"),
    ("ReLU", "", "", "has no bottom"),
    ("Eltwise", f"{ELTWISE} {{ operation: MAX }}", "data data", "no maximum"),
    ("Eltwise", f"{ELTWISE} {{ coeff: 1 }}", "data data", "1 coefficients"),
    ("Eltwise", "", "data", "fewer than two"),
    ("Eltwise", "", "data small", "has the shapes|have the shapes"),
    ("Pooling", f"{POOL} {{ kernel_size: 1 pool: STOCHASTIC }}", "data", "random"),
    ("Pooling", f"{POOL} {{ kernel_size: 1 stride: 2 }}", "data", "outside the map"),
    ("Pooling", f"{POOL} {{ kernel_size: 2 pad: 2 }}", "data", "do not fit"),
    ("Pooling", f"{POOL} {{ kernel_size: 2 kernel_h: 2 kernel_w: 2 }}", "data", "one spelling"),
    ("Pooling", f"{POOL} {{ kernel_size: 2 torch_pooling: true }}", "data", "torch"),
    ("Pooling", f"{POOL} {{ kernel_size: 2 }}", "flat", "use inputs of four axes"),
    ("Convolution", f"{CONV} {{ {ONE} group: 2 }}", "data", "do not divide into 2 groups"),
    ("Convolution", f"{CONV} {{ num_output: 4 }}", "data", "no kernel_size"),
    ("Convolution", f"{CONV} {{ {ONE} weight_filler {{ type: 'he' }} }}", "data", "filler 'he'"),
    ("Convolution", f"{CONV} {{ num_output: 4 kernel_size: 9 }}", "data", "no window fits"),
    ("Convolution", f"{CONV} {{ {ONE} kernel_h: 1 kernel_w: 1 }}", "data", "one spelling"),
    ("Convolution", f"{CONV} {{ {ONE} axis: 2 }}", "data", "channel axis is 2"),
    ("Convolution", f"{CONV} {{ {ONE} stride: 0 }}", "data", "is 0"),
    ("Convolution", f"{CONV} {{ {ONE} dilation: [1, 1, 1] }}", "data", "3 values of dilation"),
    ("Convolution", f"{CONV} {{ {ONE} pad: [1, 1, 1] }}", "data", "3 values of pad"),
    ("Convolution", f"{CONV} {{ {ONE} }}", "data data", "has 2 bottoms"),
    ("Deconvolution", f"{CONV} {{ {BILINEAR} }}", "data", "square kernels"),
    ("InnerProduct", "", "data", "num_output is 0"),
    ("InnerProduct", "inner_product_param { num_output: 99999999 }", "data", "4,799,999,952 numb"),
    ("InnerProduct", "inner_product_param { num_output: 2 axis: 0 }", "data", "the batch axis"),
    ("InnerProduct", "param { name: 'w' } inner_product_param { num_output: 2 transpose: true }",
     "data", "transposed weights are shared"),
    ("ArgMax", "argmax_param { top_k: 5 }", "data", "more than the first"),
    ("Power", "power_param { power: 2 }", "data", "power 2"),
    ("Swish", "swish_param { beta: 2 }", "data", "beta is not 1"),
    ("Dropout", "dropout_param { dropout_ratio: 1 }", "data", "ratio is 1"),
    ("Clip", "clip_param { min: 3 max: 1 }", "data", "min below max"),
    ("Clip", "", "data", "lacks min or max"),
    ("Reshape", "reshape_param { shape { dim: 6 dim: -1 } }", "data", "batch axis"),
    ("Reshape", "reshape_param { shape { dim: 6 } axis: 0 num_axes: 0 }", "data", "in front"),
    ("Reshape", "reshape_param { shape { dim: 0 dim: 7 dim: -1 } }", "data", "do not fit"),
    ("Reshape", "reshape_param { shape { dim: 0 dim: 0 } axis: 3 }", "data", "input lacks"),
    ("Reshape", "reshape_param { axis: 9 }", "data", "reach beyond"),
    ("Flatten", "flatten_param { axis: 3 end_axis: 1 }", "data", "flattens axes 3 to 1"),
    ("Permute", "permute_param { order: 1 }", "data", "batch axis in front"),
    ("Concat", "concat_param { axis: 0 }", "data data", "the batch axis"),
    ("Concat", "concat_param { axis: 1 concat_dim: 1 }", "data data", "both axis and concat_dim"),
    ("Slice", "slice_param { slice_point: 9 }", "data", "do not cut"),
    ("Crop", "crop_param { offset: 3 }", "data small", "beyond its end"),
    ("Crop", "crop_param { offset: [0, 0, 0] }", "data small", "3 offsets do not fit"),
    ("Scale", "scale_param { axis: 3 num_axes: 2 }", "data", "reaches beyond"),
    ("Scale", "scale_param { bias_term: true }", "data small", "scales by a tensor and adds"),
    ("Scale", "", "data small", "do not fit along axis 1"),
    ("Axpy", "", "data data data", "one per channel"),
    ("DetectionOutput", "", "data", "has 1 bottoms"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "settings", "bottoms", "said"), REFUSED)
def test_what_cannot_be_represented_is_refused_by_name(
    tmp_path: Path, kind: str, settings: str, bottoms: str, said: str
) -> None:
    """The layer, its type, the reason and a remedy; what depends on it says nothing more."""
    text = header(3, 4, 4) + layer("small", "Pooling", f"{POOL} {{ kernel_size: 2 stride: 2 }}")
    text += layer("flat", "Flatten") + layer("l", kind, settings, bottoms)
    behind = layer("behind", "ReLU", bottom="l") if kind != "DetectionOutput" else ""
    with pytest.raises(NibblefitError, match=said) as caught:
        imported(tmp_path, text + behind)
    assert f"layer 'l', {kind}" in str(caught.value)
    assert "behind" not in str(caught.value)


def test_layers_with_the_wrong_number_of_tops_are_refused(tmp_path: Path) -> None:
    """Two tops where there is one result; the places of a pool's maxima; an uneven slice."""
    for kind, settings, said in (
        ("ReLU", "", "has 2 tops; expected 1"),
        ("Pooling", f"{POOL} {{ kernel_size: 2 }}", "places of its maxima"),
        ("Slice", "", "do not divide into 2 tops"),
    ):
        with pytest.raises(NibblefitError, match=said):
            imported(tmp_path, header(3, 4, 4) + layer("l", kind, settings, top="l m"))


def test_data_layers_say_what_they_do_to_pixels(tmp_path: Path) -> None:
    """A mean picture, or means that do not fit the channels, cannot go into the graph."""
    for transform, said in (("mean_file: 'm'", "mean picture"), (
        "mean_value: 1 mean_value: 2", "2 means for 3 channels")):  # fmt: skip
        text = f"layer {{ name: 'l' type: 'Data' top: 'd' transform_param {{ {transform} }} }}"
        with pytest.raises(NibblefitError, match=said):
            imported(tmp_path, text + layer("r", "ReLU", bottom="d"), input_shape=(3, 4, 4))


def test_shared_parameters_must_have_one_shape(tmp_path: Path) -> None:
    """A name used by two layers of different size is refused."""

    def conv(name: str, count: int, bottom: str) -> str:
        said = f"num_output: {count} kernel_size: 1 bias_term: false"
        return layer(name, "Convolution", f"param {{ name: 'w' }} {CONV} {{ {said} }}", bottom)

    with pytest.raises(NibblefitError, match="shared parameter 'w' has the shape"):
        imported(tmp_path, header(3, 4, 4) + conv("a", 4, "data") + conv("b", 4, "a"))


SAMPLE = (
    header(3, 6, 6)
    + layer("c", "Convolution", f"{CONV} {{ num_output: 4 kernel_size: 3 pad: 1 group: 1 }}")
    + layer("n", "BatchNorm", "batch_norm_param { scale_bias: true }", "c", "c")
    + layer("p", "Pooling", f"{POOL} {{ kernel_size: 2 stride: 2 }}", "c")
    + layer("s", "Slice", "slice_param { axis: 1 slice_point: 1 slice_point: 3 }", "p", "x y z")
    + layer("e", "Eltwise", "eltwise_param { coeff: 2 coeff: 1 }", "x z")
    + layer("t", "Concat", "concat_param { axis: 1 }", "e y")
    + layer("k", "Crop", "crop_param { axis: 2 offset: 1 }", "c t")
    + layer("r", "Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 2 } }", "t")
    + layer("f", "InnerProduct", "inner_product_param { num_output: 2 axis: 2 }", "r")
    + layer("b", "Scale", "scale_param { axis: 1 num_axes: 1 bias_term: true }", "k")
)
WORDS = SAMPLE.split()


PIECES = ["", "-1", "0", "1", "2", "7", "99999999", "}", "{", "axis:", "top:", '"c"', '"q"', "1.5"]
EDIT = st.tuples(st.integers(0, len(WORDS) - 1), st.sampled_from(PIECES))


@given(st.lists(EDIT, min_size=1, max_size=3))
def test_no_edit_of_a_network_ends_in_a_traceback(tmp_path_factory, edits) -> None:
    """Words replaced at random: a network, or an error written for people."""
    words = list(WORDS)
    for place, word in edits:
        words[place] = word
    try:
        imported(tmp_path_factory.mktemp("edit"), " ".join(words))
    except NibblefitError as error:
        said = error.what
    else:
        said = "imported"
    assert said

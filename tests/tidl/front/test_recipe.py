"""``target.front``: pixels as inputs of integers, models and configurations of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from tests.tidl.networks import Net
from tests.tidl.writing.benches import Compiled, prepared

from nibblefit.data.arrays import ArraySource
from nibblefit.data.scaling import Scaling
from nibblefit.data.source import Split
from nibblefit.errors import NibblefitError, UnsupportedError
from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.quantize import dequantize, quantize
from nibblefit.ir import reference
from nibblefit.ir.float_reference import run_float
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.models import Model
from nibblefit.quantization.qdq.running import run_onnx
from nibblefit.results import Report
from nibblefit.run import Run
from nibblefit.runner.artifact import check_files, check_read_back
from nibblefit_tidl.classic.quantize import quantize_model as quantize_classic
from nibblefit_tidl.configuration.classic import read_classic
from nibblefit_tidl.configuration.importer import read_importer
from nibblefit_tidl.configuration.provider import read_options_file
from nibblefit_tidl.current.quantize import quantize_model as quantize_current
from nibblefit_tidl.devices import device_named
from nibblefit_tidl.front.folding import fold_front
from nibblefit_tidl.front.pixels import PixelSource
from nibblefit_tidl.front.preprocessing import Preprocessing
from nibblefit_tidl.front.reporting import with_front
from nibblefit_tidl.front.stage import check_front, integer_run
from nibblefit_tidl.qdq.comparing import compare
from nibblefit_tidl.qdq.linting.lint import lint_qdq
from nibblefit_tidl.qdq.reading import QDQ_TENSORS, read_qdq
from nibblefit_tidl.qdq.structure import load_qdq
from nibblefit_tidl.writing.classic_files import write_classic
from nibblefit_tidl.writing.classic_read_back import read_classic_back
from nibblefit_tidl.writing.current_files import read_current_back, write_current

UNIT = Scaling(0, 256, 0, 1)
COLOUR = Scaling(0, 256, 0, 1, (0.5, 0.25, 0.375), (0.25, 0.5, 0.25))
COUNT = 24


def network(*, kernel: int = 3, pad: int = 0, indices: bool = False) -> Graph:
    """Return a convolution, rectifier, pool and linear layer; with `indices`, a segmenter."""
    net = Net((3, 10, 10), 4)
    values = net.random.normal(size=(8, 3, kernel, kernel)) * 0.3
    inputs = [net.x, net.constant("stem.weight", values),
              net.constant("stem.bias", net.random.normal(size=8) * 0.1)]  # fmt: skip
    stem = net.relu(net.builder.add(Op.CONV, inputs, "stem", strides=(1, 1), pads=(pad,) * 4,
                                    dilations=(1, 1), groups=1))  # fmt: skip
    if indices:
        return net.finish(net.add(Op.ARGMAX, [net.conv(stem, 4, "scores", kernel=1)], "index",
                                  axis=1, keepdims=True))  # fmt: skip
    return net.finish(net.linear(net.add(Op.GLOBAL_AVG_POOL, [stem], "mean"), 5, "head"))


def pixels(count: int = COUNT) -> np.ndarray:
    """Return pictures that hold every extreme."""
    found = np.random.default_rng(2).integers(0, 256, (count, 3, 10, 10)).astype(np.uint8)
    found[:, :, 0, 0], found[:, :, 0, 1] = 0, 255
    return found


def run_of(target: str, part: str, graph: Graph, scaling: Scaling = UNIT,
           **options: Any) -> Run:  # fmt: skip
    """Return the handle of a compile step over 8-bit pictures."""
    run, _, _ = prepared(target, part=part)
    thirds = np.array_split(np.arange(COUNT), 3)
    data = ArraySource(pixels(), np.zeros(COUNT, np.int64), dict(zip(Split, thirds)), scaling,
                       ("a", "b", "c"))  # fmt: skip
    if target == "tidl":
        options = {"calibration_iterations": 0, **options}
    chosen = type(run.options)(**options)
    return replace(run, data=data, options=chosen, reference=Model(graph))


def quantized(run: Run, graph: Graph) -> Any:
    """Return the integers of a network in a run."""
    make = quantize_classic if run.recipe.target.name == "tidl-classic" else quantize_current
    return make(run, Model(graph))


class Plain:
    """A source that says nothing of how its samples were scaled, and has no `take`."""

    def __init__(self, inner: ArraySource) -> None:
        self.input_shape, self.class_names = inner.input_shape, inner.class_names
        self.split, self.batch = inner.split, inner.batch


MODES = [
    ("tidl", "tda4vm", {"quantization_scale_type": 1}),
    ("tidl", "tda4vm", {"quantization_scale_type": 0, "narrow_bias": "product"}),
    ("tidl", "am68a", {"quantization_scale_type": 4}),
    ("tidl-classic", "", {}),
]


@pytest.mark.parametrize(("target", "part", "mode"), MODES)
@pytest.mark.parametrize("pad", [0, 1])
def test_integers_of_the_folded_network_are_those_of_the_unfolded_one(
    target: str, part: str, mode: dict[str, Any], pad: int
) -> None:
    """Where folding is exact: mean 0, a power of two as scale; every code of every tensor.

    Classic biases have the weights' scale, not the accumulator's, so there a bias is rounded
    otherwise behind the fold; without one, the classic integers are equal, too.
    """
    graph = network(pad=pad)
    if target == "tidl-classic":
        graph = graph.with_constants({"stem.bias": np.zeros(8, np.float32)})
    runs = [run_of(target, part, graph, front=front, **mode) for front in ("none", "folded")]
    plain, folded = (quantized(run, graph) for run in runs)
    form = folded.tensors["x"].format
    assert (form.bits, form.signed, float(form.scale.values()[0])) == (8, False, 1.0)
    assert set(form.zero_point) == {0}
    rounding = Rounding(plain.metadata["input_rounding"])
    codes = quantize(UNIT.apply(pixels()), plain.tensors["x"].format, rounding)
    assert np.array_equal(codes, pixels())
    before = reference.run(plain, {"x": codes}).tensors
    after = reference.run(folded, {"x": pixels().astype(np.int64)}).tensors
    assert set(before) == set(after)
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(("target", "part", "mode"), MODES)
@pytest.mark.parametrize(
    ("pad", "options"),
    [(0, {"front": "folded"}), (1, {"front": "folded", "front_border": "pad"}),
     (1, {"front": "layers"})],
)  # fmt: skip
def test_integers_on_pixels_stay_near_the_float_network(
    target: str, part: str, mode: dict[str, Any], pad: int, options: dict[str, Any]
) -> None:
    """Means and scales by channel: within a few steps of float, at the border too."""
    if target == "tidl-classic" and "front_border" in options:
        pytest.skip("the classic generation has no pad layer")
    graph = network(pad=pad)
    run = run_of(target, part, graph, COLOUR, **options, **mode)
    made = quantized(run, graph)
    seen = integer_run(run)
    inside = isinstance(seen.data, PixelSource)
    assert inside == (options["front"] == "folded" or target == "tidl-classic")
    real = seen.data.batch(Split.TEST, 0, 8)[0]
    form, rounding = made.tensors["x"].format, Rounding(made.metadata["input_rounding"])
    found = reference.run(made, {"x": quantize(real, form, rounding)})
    wanted = run_float(graph, {"x": run.data.batch(Split.TEST, 0, 8)[0]})["head"]
    outputs = dequantize(found.outputs["head"], made.tensors["head"].format)
    # Classic weights share their range with the bias, which holds the means behind the fold.
    share = 0.25 if target == "tidl-classic" else 0.15
    assert float(np.abs(outputs - wanted).max()) < share * float(np.abs(wanted).max())


def compiled(target: str, part: str, graph: Graph, scaling: Scaling = COLOUR,
             **options: Any) -> Compiled:  # fmt: skip
    """Quantize and write."""
    run = run_of(target, part, graph, scaling, **options)
    made = quantized(run, graph)
    for path in sorted(run.folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    write = write_classic if target == "tidl-classic" else write_current
    return Compiled(run, graph, made, write(run, made))


def initializers(path: Path) -> dict[str, np.ndarray]:
    """Return the constants of a model."""
    return {one.name: numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}


@pytest.mark.parametrize("part", ["tda4vm", "am68a"])
@pytest.mark.parametrize("options", [{"front": "folded"}, {"front": "layers"}])
def test_written_models_take_pixels(part: str, options: dict[str, Any]) -> None:
    """float.onnx on bytes is the trained network on normalized samples; frames are bytes."""
    pytest.importorskip("onnxruntime")
    made = compiled("tidl", part, network(), **options)
    check_files(made.artifact, made.folder, "tidl")
    check_read_back(made.graph, read_current_back(made.run, made.artifact), "tidl", 3)
    picture = pixels()[:1]
    wanted = run_float(made.network, {"x": COLOUR.apply(picture)})["head"]
    found = run_onnx(made.folder / "float.onnx", {"xNet_IN": picture})["head"]
    assert found == pytest.approx(wanted, abs=1e-4)
    frame = (made.folder / made.read("calibration/list.txt").split()[0]).read_bytes()
    assert len(frame) == 300
    assert frame in {one.tobytes() for one in pixels()}
    text = made.read("README.md")
    assert "the application must not normalize" in text
    assert json.loads(made.read("pixels.json"))["mean"] == [128.0, 64.0, 96.0]
    provider = read_options_file(made.folder / "float_options.json", device_named(part))
    assert provider.add_data_convert_ops == 3
    assert provider.pre_batchnorm_fold == int(options["front"] == "folded")


@pytest.mark.parametrize("part", ["tda4vm", "am68a"])
@pytest.mark.parametrize("pad", [0, 1])
def test_both_configurations_say_the_same_numbers(part: str, pad: int) -> None:
    """What the importer folds by inMean and inScale is what the provider's model has inside."""
    border = "pad" if pad else "refuse"
    made = compiled("tidl", part, network(pad=pad), front="folded", front_border=border)
    config = read_importer(made.folder / "float_import.txt", device=device_named(part))
    assert (config.in_data_norm, config.in_element_type) == ((1,), (0,))
    assert config.fold_pre_bn_conv2d == 1 + pad
    assert config.raw_data_in_element_type == (0,)
    assert config.input_net_file == "float_trained.onnx"
    given = Preprocessing(config.in_mean, config.in_scale)
    folded = fold_front(made.network, given, made.run.options.front_border).graph
    written, trained = (initializers(made.folder / f"{name}.onnx")
                        for name in ("float", "float_trained"))  # fmt: skip
    assert np.array_equal(written["stem.weight"], folded.constants["stem.weight"].astype("f4"))
    assert np.array_equal(written["stem.front_bias"],
                          folded.constants["stem.front_bias"].astype("f4"))  # fmt: skip
    assert np.array_equal(trained["stem.weight"], made.network.constants["stem.weight"])
    if part == "tda4vm":
        form = made.graph.tensors["head"].format
        assert config.out_tensor_scale == (1 / float(form.scale.values()[0]),)
        assert config.out_element_type == (int(form.signed),)
        assert config.add_data_convert_to_net == 0
    else:
        assert config.add_data_convert_to_net == 2


@pytest.mark.parametrize("front", ["folded", "layers"])
@pytest.mark.parametrize("part", ["tda4vm", "am68a"])
def test_quantized_models_on_pixels_agree_with_the_judge(front: str, part: str) -> None:
    """The QDQ file on bytes gives the judge's codes, and the linter takes it."""
    pytest.importorskip("onnxruntime")
    made = compiled("tidl", part, network(), front=front)
    path = made.folder / "qdq.onnx"
    value = onnx.load(path).graph.input[0]
    assert (value.name, value.type.tensor_type.elem_type) == ("xNet_IN", TensorProto.UINT8)
    graph = read_qdq(path)
    assert not lint_qdq(path, part).errors
    picture = pixels()[:1]
    real = picture.astype(np.float32) if front == "folded" else COLOUR.apply(picture)
    found = compare(graph, path, {"x": real}, graph.metadata[QDQ_TENSORS])
    found.require_explained()
    on_bytes = run_onnx(path, {"xNet_IN": picture})["head"]
    assert np.array_equal(on_bytes, run_onnx(load_qdq(path), {"x": real})["head"])
    if part == "tda4vm":
        config = read_importer(made.folder / "qdq_import.txt", device=device_named(part))
        assert (config.in_element_type, config.add_data_convert_to_net) == ((0,), 3)
        assert config.in_data_names_list == "xNet_IN"
        assert config.in_data_norm == (0,)


def test_indices_leave_as_bytes() -> None:
    """A segmenter takes bytes and returns bytes; read back, both ends are as before."""
    pytest.importorskip("onnxruntime")
    made = compiled("tidl", "am68a", network(indices=True), front="folded")
    for name in ("float", "qdq"):
        value = onnx.load(made.folder / f"{name}.onnx").graph.output[0]
        assert value.type.tensor_type.elem_type == TensorProto.UINT8
    check_read_back(made.graph, read_current_back(made.run, made.artifact), "tidl", 3)
    picture = pixels()[:1]
    found = run_onnx(made.folder / "qdq.onnx", {"xNet_IN": picture})["index"]
    judged = reference.run(made.graph, {"x": picture.astype(np.int64)}).outputs["index"]
    assert found.dtype == np.uint8
    assert np.mean(found == judged) > 0.99


def test_sixteen_bits_take_bytes_too() -> None:
    """A pixel is a multiple of the 16-bit step, and the importer converts it."""
    made = compiled("tidl", "tda4vm", network(), front="folded", tensor_bits=16)
    form = made.graph.tensors["x"].format
    assert 1 / float(form.scale.values()[0]) == 256
    config = read_importer(made.folder / "float_import.txt", device=device_named("tda4vm"))
    assert config.add_data_convert_to_net & 1


@pytest.mark.parametrize(("front", "pad"), [("folded", 0), ("layers", 1)])
def test_classic_files_take_pixels(front: str, pad: int) -> None:
    """Unsigned input codes that are the pixels, frames of bytes, the same integers read back."""
    made = compiled("tidl-classic", "", network(pad=pad), front=front)
    config = read_classic(made.folder / "import.txt")
    assert (config.in_element_type, config.in_quant_factor) == (0, 255)
    assert ("Scale" in made.read("net.prototxt")) == (front == "layers")
    frames = np.frombuffer((made.folder / "frames.y").read_bytes(), np.uint8)
    known = {one.tobytes() for one in pixels()}
    assert all(one.tobytes() in known for one in frames.reshape(-1, 3, 10, 10))
    check_read_back(made.graph, read_classic_back(made.run, made.artifact), "tidl-classic", 3)
    assert "the application must not" in made.read("README.md")


@pytest.mark.parametrize(
    ("target", "pad", "options", "scaling", "reason"),
    [
        ("tidl", 1, {"front": "folded"}, COLOUR, "it pads with zeros"),
        ("tidl-classic", 1, {"front": "folded"}, COLOUR, "it pads with zeros"),
        ("tidl-classic", 1, {"front": "folded", "front_border": "pad"}, COLOUR, "a pad layer"),
        ("tidl", 0, {"front": "folded"}, Scaling(-128, 128, -1, 1), "no pixels of 0 to 255"),
        ("tidl", 0, {"front": "folded", "front_mean": (1, 2), "front_scale": (1,)}, UNIT,
         "2 means for 3 channels"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_before_training(
    target: str, pad: int, options: dict[str, Any], scaling: Scaling, reason: str
) -> None:
    """In one line, by prepare."""
    graph = network(pad=pad)
    with pytest.raises(NibblefitError, match=reason) as caught:
        check_front(run_of(target, "", graph, scaling, **options), graph)
    assert "\n" not in caught.value.what
    assert caught.value.hint


def test_networks_of_several_inputs_are_refused() -> None:
    """Mean and scale belong to one."""
    net = Net((3, 4, 4))
    other = net.builder.add_input("y", (3, 4, 4))
    graph = net.finish(net.add(Op.ADD, [net.x, other], "sum"))
    for target in ("tidl", "tidl-classic"):
        with pytest.raises(UnsupportedError, match="2 inputs"):
            check_front(run_of(target, "", network(), front="layers"), graph)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"front_mean": (1.0,), "front_scale": (1.0,)}, "no effect"),
        ({"front": "folded", "front_mean": (1.0,)}, "belong together"),
        ({"front": "layers", "front_border": "pad"}, "keep the border"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: dict[str, Any], reason: str
) -> None:
    """Before anything runs."""
    for target in ("tidl", "tidl-classic"):
        with pytest.raises(ValueError, match=reason):
            run_of(target, "", network(), **options)


@pytest.mark.parametrize(("target", "part"), [("tidl", "am62a"), ("tidl-classic", "am5749")])
def test_reports_estimate_the_cost(target: str, part: str) -> None:
    """On the host and on the accelerator, with what was assumed."""
    for front, words in (("none", "(host)"), ("folded", "(fold)"), ("layers", "(convert)")):
        run = run_of(target, part, network(), front=front)
        found = with_front(Report("x"), run)
        (finding,) = found.findings
        assert words in finding.message
        assert "assumed: one Arm core at" in finding.message
        (table,) = found.tables
        assert [row[0] for row in table.rows] == ["host", "convert", "fold"]


def test_given_means_stand_for_those_of_the_data() -> None:
    """For sources that scale their samples by themselves."""
    graph = network()
    run = run_of("tidl", "am68a", graph, COLOUR, front="folded",
                 front_mean=(128.0, 64.0, 96.0), front_scale=(1 / 64, 1 / 128, 1 / 64))  # fmt: skip
    known = quantized(run_of("tidl", "am68a", graph, COLOUR, front="folded"), graph)
    found = quantized(run, graph)
    assert all(np.array_equal(found.constants[name], known.constants[name])
               for name in known.constants)  # fmt: skip
    plain = replace(run, data=Plain(run.data))
    assert quantized(plain, graph).tensors["x"] == known.tensors["x"]
    with pytest.raises(UnsupportedError, match="scales its samples itself"):
        quantized(replace(plain, options=type(run.options)(front="folded")), graph)


@pytest.mark.parametrize(("target", "part", "mode"), MODES)
def test_networks_trained_on_pixels_stay_as_they_are(
    target: str, part: str, mode: dict[str, Any]
) -> None:
    """Whatever comes first in them; inputs are bytes even if calibration saw no white."""
    net = Net((3, 10, 10))
    offset = net.constant("offset", np.full((3, 1, 1), -128.0))
    graph = net.finish(net.conv(net.add(Op.ADD, [net.x, offset], "centred"), 4, "stem"))
    run = run_of(target, part, graph, Scaling(0, 256, 0, 256), front="folded", **mode)
    assert check_front(run, graph) is graph
    form = quantized(run, graph).tensors["x"].format
    assert (form.signed, float(form.scale.values()[0]), set(form.zero_point)) == (False, 1.0, {0})

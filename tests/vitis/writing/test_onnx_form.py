"""The QDQ file: onnxruntime computes the DPU's codes with it, but for ties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper, numpy_helper
from tests.vitis.writing.recorded import recorded_file
from tests.vitis.xir.networks import (
    NETWORKS,
    activations,
    combined,
    convolutions,
    formats_of,
    pools,
    samples,
)
from tests.vitis.xir.vendor import position_of

from nibblefit.errors import InputError, MismatchError, UnsupportedError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.reference import run
from nibblefit.quantization.qdq.running import run_onnx
from nibblefit_vitis.configuration.checking import newest_opset
from nibblefit_vitis.formats import FixPosition, FloatScale, NetworkFormats
from nibblefit_vitis.quantize.integers import lower_network
from nibblefit_vitis.settings import (
    DPU_DEFAULT,
    Device,
    NetworkSetting,
    RoundMode,
)  # fmt: skip
from nibblefit_vitis.writing.onnx_form.agreement import Walk, compare_qdq
from nibblefit_vitis.writing.onnx_form.naming import raw_name
from nibblefit_vitis.writing.onnx_form.reading import read_formats
from nibblefit_vitis.writing.onnx_form.writing import NOTE, onnx_bytes, to_qdq
from nibblefit_vitis.xir.importing.network import network_of
from nibblefit_vitis.xir.reading import read_xmodel

SETTING = NetworkSetting()


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_onnxruntime_computes_the_dpus_codes_but_for_ties(build: Callable[[], Graph]) -> None:
    """Every differing code lies exactly, or within float32's precision, between two codes."""
    graph = build()
    formats = formats_of(graph)
    found = compare_qdq(graph, formats, SETTING, to_qdq(graph, formats, SETTING), samples(graph))
    found.require_explained()
    assert found.total.unexplained == 0
    assert set(found.tensors) == set(formats.outputs)
    assert found.total.count == sum(one.count for one in found.tensors.values()) > 100


def test_the_vendors_network_agrees_and_its_ties_are_counted(shared: Path) -> None:
    """On 32 recorded images: differences in five tensors only, all of them exact ties."""
    read = network_of(read_xmodel(shared / "vendor/vitis/xmodel/SmallCNN_int.xmodel"))
    with np.load(shared / "vendor/vitis/case_small/calib_inputs.npz") as held:
        inputs = {read.graph.inputs[0]: held["x"]}
    model = to_qdq(read.graph, read.formats, SETTING)
    found = compare_qdq(read.graph, read.formats, SETTING, model, inputs)
    found.require_explained()
    assert found.total.ties == found.total.differing > 0
    assert found.total.near == 0


#: The judge has tables and exponentials of its own where float64 has tanh and softmax.
JUDGED = tuple(build for build in NETWORKS if build is not activations)


@pytest.mark.parametrize("build", JUDGED, ids=lambda build: build.__name__)
def test_the_walk_is_the_judge(build: Callable[[], Graph]) -> None:
    """The exact results that the file is compared with are those of the integer judge."""
    graph = build()
    formats = formats_of(graph)
    judged = lower_network(graph, formats, SETTING)
    walk = Walk(graph, formats, SETTING)
    walk.through(samples(graph))
    codes = {name: walk.codes[name] for name in graph.inputs}
    tensors = run(judged, codes).outputs
    for name in graph.outputs:
        if name in walk.codes:
            np.testing.assert_array_equal(tensors[name], walk.codes[name], name)


def test_a_wrong_scale_is_found() -> None:
    """A file whose numbers were changed does not pass."""
    graph = convolutions()
    formats = formats_of(graph)
    model = to_qdq(graph, formats, SETTING)
    for item in model.graph.initializer:
        if item.name == "relu:scale":
            item.CopyFrom(numpy_helper.from_array(np.float32(0.3).reshape(()), item.name))
    with pytest.raises(MismatchError, match="relu"):
        compare_qdq(graph, formats, SETTING, model, samples(graph)).require_explained()


def test_formats_can_be_read_from_our_file() -> None:
    """Every format stands in the file, under our names."""
    graph = combined()
    formats = formats_of(graph)
    found = read_formats(to_qdq(graph, formats, SETTING))
    assert dict(found.params) == dict(formats.params)
    rounded = {name if name in graph.inputs else raw_name(name) for name in formats.outputs}
    assert set(found.outputs) == rounded
    assert all(found.outputs[name] == formats.outputs[name.removesuffix(":raw")]
               for name in rounded)  # fmt: skip


def test_the_originals_file_holds_its_recorded_formats(shared: Path) -> None:
    """All 22 roundings of the original's export are those of its quant_info.json, or the gate's."""
    folder = shared / "vendor/vitis"
    file = recorded_file(folder, "onnx_export_small")
    found = read_formats(folder / "onnx_export_small/SmallCNN_int.onnx")
    layers = {1: "conv1", 3: "dw", 5: "pw", 7: "b1", 8: "b2", 14: "fc"}
    for name, form in found.params.items():
        module, kind = name.removeprefix("module_").split(".")
        key = f"SmallCNN::{layers[int(module)]}.{kind}"
        assert form == FixPosition(8, position_of(file, "param", key)), name
    words = {0: "input", 2: "relu", 4: "relu", 6: "leaky_relu", 9: "concat", 10: "maxpool",
             11: "hswish", 12: "avgpool", 14: "dense"}  # fmt: skip
    gate = found.outputs["/module_11/Mul_output_0"]
    assert gate == FixPosition(8, 7)
    rest = {name: form for name, form in found.outputs.items()
            if name != "/module_11/Mul_output_0"}  # fmt: skip
    assert (len(found.params), len(rest)) == (12, len(words))
    for name, form in rest.items():
        number = int(name.split("/")[1].removeprefix("module_")) if "/" in name else 0
        key = f"SmallCNN::nndct_{words[number]}_{number}"
        assert form == FixPosition(8, position_of(file, "output", key)), name


def test_the_originals_file_loads_and_agrees_with_our_execution(shared: Path) -> None:
    """Its outputs lie on the recorded grid and within some steps of ours on its own formats.

    Its parameters and formats differ from the xmodel's in one place, the average pool's position,
    so the outputs are compared with our execution of those very formats.
    """
    folder = shared / "vendor/vitis"
    model = onnx.load(str(folder / "onnx_export_small/SmallCNN_int.onnx"))
    with np.load(folder / "case_small/calib_inputs.npz") as held:
        x = held["x"]
    (theirs,) = run_onnx(model, {"SmallCNN::input_0": x}, one_by_one=True).values()
    read = network_of(read_xmodel(folder / "xmodel/SmallCNN_int.xmodel"))
    graph, formats = with_parameters_of(model, read.graph, read.formats)
    ours = run_onnx(to_qdq(graph, formats, SETTING), {graph.inputs[0]: x}, one_by_one=True)
    ours = ours[graph.outputs[0]]
    np.testing.assert_array_equal(theirs, ours)


def with_parameters_of(model: onnx.ModelProto, graph: Graph,
                       formats: NetworkFormats) -> tuple[Graph, NetworkFormats]:  # fmt: skip
    """Return a network with parameters and formats of the original's ONNX file."""
    held = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    layers = {1: "conv1", 3: "dw", 5: "pw", 7: "b1", 8: "b2", 14: "fc"}
    constants = {
        f"SmallCNN__{layer}_{kind}": held[f"module_{number}.{kind}"]
        for number, layer in layers.items() for kind in ("weight", "bias")
    }  # fmt: skip
    outputs = dict(formats.outputs)
    (pool,) = (node.output for node in graph.nodes if node.op.value == "avg_pool")
    outputs[pool] = FixPosition(8, 6)
    changed = replace(formats, outputs=frozen_mapping(outputs))
    return graph.with_constants(constants), changed


def other_setting(device: Device = Device.DPU, **own: object) -> NetworkSetting:
    """Return a setting that differs for all tensors."""
    base = {kind: replace(found, **own) for kind, found in DPU_DEFAULT.items()}
    return NetworkSetting(device=device, base=frozen_mapping(base))


def test_narrow_and_short_codes_are_limited() -> None:
    """Codes of 4 bits, and ranges without the lowest code, are clipped before they are stored."""
    graph = convolutions()
    four = formats_of(graph)
    short = {name: FixPosition(4, 1) for name in four.outputs}
    formats = replace(four, outputs=frozen_mapping(short))
    setting = other_setting(Device.CPU, round_mode=RoundMode.HALF_EVEN, narrow_range=True)
    model = to_qdq(graph, formats, setting)
    found = compare_qdq(graph, formats, setting, model, samples(graph, scale=9.0))
    found.require_explained()
    assert found.total.differing == found.total.near
    codes = run_onnx(model, samples(graph, scale=9.0), ["x:codes", "relu:codes"], one_by_one=True)
    assert (codes["x:codes"].min(), codes["x:codes"].max()) == (-7, 7)


def test_float_scales_and_zero_points_agree() -> None:
    """The float class, half even as ONNX, has no differences but float32's."""
    graph = pools()
    outputs = {name: FloatScale(8, (0.0117,), (3 + i,), (1.5,), unsigned=True)
               for i, name in enumerate(formats_of(graph).outputs)}  # fmt: skip
    formats = NetworkFormats(outputs=frozen_mapping(outputs))
    setting = other_setting(Device.CPU, round_mode=RoundMode.HALF_EVEN)
    found = compare_qdq(graph, formats, setting, to_qdq(graph, formats, setting), samples(graph))
    found.require_explained()


def test_channels_have_scales_of_their_own() -> None:
    """Weights per channel agree too."""
    graph = convolutions()
    random = np.random.default_rng(3)
    formats = formats_of(graph)
    scales = tuple(random.uniform(0.01, 0.03, 6).astype(np.float32).tolist())
    params = {**formats.params, "plain.weight": FloatScale(8, scales, (0,) * 6, (1.0,) * 6, 0),
              "depthwise.weight": FixPosition(8, 4, (4, 5, 6, 7) * 3, 0)}  # fmt: skip
    formats = replace(formats, params=frozen_mapping(params))
    found = compare_qdq(graph, formats, SETTING, to_qdq(graph, formats, SETTING), samples(graph))
    found.require_explained()


@pytest.mark.parametrize(("bits", "opset"), [(8, 17), (16, 21)])
def test_wide_codes_take_the_opset_that_has_them(bits: int, opset: int) -> None:
    """16-bit codes exist from operator set 21 on; an older one is refused."""
    graph = convolutions()
    formats = formats_of(graph)
    wide = {name: FixPosition(bits, 9) for name in formats.outputs}
    formats = replace(formats, outputs=frozen_mapping(wide),
                      params=frozen_mapping({**formats.params,
                                             "plain.bias": FixPosition(32, 20)}))  # fmt: skip
    model = to_qdq(graph, formats, SETTING)
    assert model.opset_import[0].version == opset
    compare_qdq(graph, formats, SETTING, model, samples(graph)).require_explained()
    with pytest.raises(UnsupportedError, match="onnx_opset_version is 12"):
        to_qdq(graph, formats, replace(SETTING, onnx_opset_version=12))
    assert to_qdq(graph, formats, replace(SETTING, onnx_opset_version=21)).opset_import[0].version


def test_activations_wider_than_onnx_are_refused() -> None:
    """32-bit activations have no QuantizeLinear."""
    graph = convolutions()
    formats = NetworkFormats(outputs=frozen_mapping({"relu": FixPosition(32, 9)}))
    with pytest.raises(UnsupportedError, match="32 bits"):
        to_qdq(graph, formats, SETTING)


def test_a_layers_own_input_format_is_written() -> None:
    """A layer that reads its input in another width rounds it first."""
    graph = convolutions()
    formats = replace(formats_of(graph), inputs=frozen_mapping({"grouped": FixPosition(8, 2)}))
    model = to_qdq(graph, formats, SETTING)
    compare_qdq(graph, formats, SETTING, model, samples(graph)).require_explained()
    assert any(node.output[0] == "grouped:input_codes" for node in model.graph.node)


def test_batch_is_fixed_and_the_note_is_in_the_file() -> None:
    """Shapes are static, batch 1 unless asked; the file says what it cannot express."""
    graph = pools()
    formats = formats_of(graph)
    for batch in (1, 4):
        model = to_qdq(graph, formats, SETTING, batch=batch)
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == batch
    assert [item.value for item in model.metadata_props] == [NOTE]
    assert onnx_bytes(model) == onnx_bytes(to_qdq(graph, formats, SETTING, batch=4))
    assert len(run_onnx(model, samples(graph, 4))) == 1


def quantizer(scale: npt.ArrayLike, *, domain: str = "", computed: bool = False) -> onnx.ModelProto:
    """Return a model with one QuantizeLinear."""
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], name="q", domain=domain)
    items = [numpy_helper.from_array(np.asarray(scale, np.float32), "s"),
             numpy_helper.from_array(np.zeros(np.shape(scale), np.uint8), "z")]  # fmt: skip
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.UINT8, [1])
    graph = helper.make_graph([node], "g", [x], [y], items[int(computed) :])
    return helper.make_model(graph)


def test_foreign_roundings_are_read_or_refused(tmp_path: Path) -> None:
    """Unsigned and real scales are read; custom operators and bad scales are named."""
    assert dict(read_formats(quantizer(0.25)).outputs) == {"x": FixPosition(8, 2, unsigned=True)}
    real = read_formats(quantizer(0.3)).outputs["x"]
    assert isinstance(real, FloatScale)
    assert real.scale == (float(np.float32(0.3)),)
    both = read_formats(quantizer([0.5, 0.25])).outputs["x"]
    assert both == FixPosition(8, 1, (1, 2), 1, unsigned=True)
    for model, words in ((quantizer(0.3, domain="vai"), "custom operator"),
                         (quantizer(0.0), "above 0"),
                         (quantizer(0.3, computed=True), "computes its scale")):  # fmt: skip
        with pytest.raises(InputError, match=words):
            read_formats(model)
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"\xff\xff")
    for file in (path, tmp_path / "none.onnx"):
        with pytest.raises(InputError, match="cannot be read as ONNX"):
            read_formats(file)


def test_a_model_that_onnxruntime_does_not_take_is_refused() -> None:
    """Its words come through in one line."""
    with pytest.raises(InputError, match="onnxruntime refuses"):
        run_onnx(quantizer(0.5, domain="vai"), {"x": np.zeros(1, np.float32)})
    model = to_qdq(pools(), formats_of(pools()), SETTING)
    with pytest.raises(InputError, match="onnxruntime refuses"):
        run_onnx(model, {"x": np.zeros((1, 2), np.float32)})


def test_operator_sets_that_onnx_does_not_know_are_refused() -> None:
    """With the newest one; in parity mode no configuration refuses it before."""
    setting = NetworkSetting(onnx_opset_version=newest_opset() + 1, parity=True)
    with pytest.raises(UnsupportedError, match=f"knows {newest_opset()} at most"):
        to_qdq(pools(), formats_of(pools()), setting)
    newest = to_qdq(
        pools(), formats_of(pools()), replace(setting, onnx_opset_version=newest_opset())
    )
    assert newest.opset_import[0].version == newest_opset()

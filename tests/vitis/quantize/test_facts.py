"""What a graph remembers of its making, the way back to a float network, and its files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.vitis.quantize.building import CODES, DPU, Sketch, executed

from nibblefit.errors import InputError, UnsupportedError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.store import load_quantized, save_quantized
from nibblefit_vitis.alignment import Change
from nibblefit_vitis.formats import FixPosition, FloatScale, NetworkFormats
from nibblefit_vitis.quantize.facts import corrections_in, facts_of, formats_in, recorded
from nibblefit_vitis.quantize.integers import lower_network
from nibblefit_vitis.quantize.pipeline import finished, quantize_network, ready
from nibblefit_vitis.settings import DPU_DEFAULT, Device, Kind, NetworkSetting, ScaleType
from nibblefit_vitis.writing.arch import arch_of


def network() -> Graph:
    """Return two convolutions with a rectifier between them, real weights."""
    random = np.random.default_rng(7)
    net = Sketch({"x": (1, 8, 8)}, {"x": 6})
    for name, channels in (("first", 1), ("second", 3)):
        weights = net.real(
            f"{name}.w", random.normal(0, 0.4, (3, channels, 3, 3)), FixPosition(8, 6)
        )
        bias = net.real(f"{name}.b", random.normal(0, 0.1, 3), FixPosition(8, 6))
        net.add(name, Op.CONV, net.nodes[-1].output if net.nodes else "x", weights, bias,
                strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), groups=1)  # fmt: skip
        net.add(f"{name}.relu", Op.RELU, name)
    graph = net.graph()
    return graph.with_constants({n: v.astype(np.float32) for n, v in graph.constants.items()})


def samples() -> list[np.ndarray]:
    """Return calibration inputs."""
    return [np.random.default_rng(3).normal(0, 1, (16, 1, 8, 8)).astype(np.float32)]


def test_formats_and_corrections_survive_the_graphs_file(tmp_path) -> None:
    """Metadata on disk gives the same formats, floats to the last bit."""
    result = quantize_network(network(), DPU, samples)
    save_quantized(result.graph, tmp_path / "graph")
    facts = recorded(load_quantized(tmp_path / "graph"))
    assert formats_in(facts) == replace(result.formats, history=frozen_mapping())
    assert result.corrections
    for name, values in corrections_in(facts).items():
        np.testing.assert_array_equal(values, result.corrections[name])


def test_every_kind_of_format_is_remembered() -> None:
    """Positions and scales per channel, zero points, and tensors without a format."""
    formats = NetworkFormats(
        frozen_mapping({"a": FixPosition(4, 3, (3, 5), 0), "b": None}),
        frozen_mapping({"c": FloatScale(8, (0.1, 0.2), (3, 4), (1.0, 2.0), 1, True)}),
        frozen_mapping({"d": FixPosition(8, -2, unsigned=True)}),
    )
    change = Change("c", 3, 2, "because", "layer")
    facts = facts_of(formats, {}, changes=[change], notes=["n"], finetuned=False,
                     from_codes=False)["vitis"]  # fmt: skip
    told = json.loads(json.dumps(facts))
    assert formats_in(told) == formats
    assert told["changes"][0]["rule"] == "because"


def test_a_strangers_graph_is_refused() -> None:
    """A graph without the facts says so."""
    net = Sketch({"x": (1, 16, 16)}, {"x": 4})
    net.add("relu", Op.RELU, "x", position=4)
    with pytest.raises(InputError, match="does not say how it was quantized"):
        recorded(net.lowered())


def test_the_same_network_and_formats_give_the_same_integers() -> None:
    """Lowering again what the facts state gives an equal graph: nothing else decides a bit."""
    result = quantize_network(network(), DPU, samples)
    again = lower_network(result.prepared, formats_in(recorded(result.graph)), DPU)
    assert again.nodes == result.graph.nodes
    for name, codes in again.constants.items():
        np.testing.assert_array_equal(codes, result.graph.constants[name])


def test_batches_do_not_matter_by_default() -> None:
    """One batch of 16 or sixteen of one: equal formats."""
    from nibblefit_vitis.configuration.presets import preset
    from nibblefit_vitis.configuration.resolve import resolve

    setting, _ = resolve(preset("dpu"), network(), parity=False)
    (whole,) = samples()
    together = quantize_network(network(), setting, lambda: [whole])
    single = quantize_network(network(), setting, lambda: [whole[i : i + 1] for i in range(16)])
    assert together.formats == single.formats


def test_layers_that_keep_accuracy_are_wider_on_a_cpu() -> None:
    """16 bits for the outermost layers where the device has them, and the integers follow."""
    base = {kind: replace(one, scale_type=ScaleType.FLOAT) for kind, one in DPU_DEFAULT.items()}
    setting = NetworkSetting(device=Device.CPU, keep_first_last_layer_accuracy=True,
                             include_cle=False, base=frozen_mapping(base))  # fmt: skip
    prepared = ready(network(), setting)
    assert {prepared.setting.of(n, Kind.WEIGHTS).bit_width for n in ("first", "second")} == {16}
    scale = FloatScale(16, (0.001,), (0,), (1.0,))
    names = [name for name in prepared.graph.shapes if name == "x" or name.endswith("relu")]
    formats = NetworkFormats(dict.fromkeys(prepared.graph.constants, scale),
                             dict.fromkeys(names, scale))  # fmt: skip
    graph = finished(prepared.graph, formats, prepared.setting).graph
    assert {tensor.format.bits for tensor in graph.tensors.values()} == {16, 32}
    executed(graph, CODES.reshape(4, 1, 8, 8) * 100)


def test_an_unprepared_network_is_refused_by_name() -> None:
    """Operators that preparation removes have no integer form."""
    net = Sketch({"x": (1, 16, 16)}, {"x": 4})
    net.add("drop", Op.DROPOUT, "x", position=4, p=0.5)
    with pytest.raises(UnsupportedError, match=r"'drop' \(dropout\)"):
        net.lowered()


def test_a_position_beyond_float32_is_refused() -> None:
    """2^-200 is no step of a float32 network."""
    net = Sketch({"x": (1, 16, 16)}, {"x": 200})
    net.add("relu", Op.RELU, "x", position=200)
    with pytest.raises(UnsupportedError, match="fix position 200"):
        net.lowered()


@pytest.mark.parametrize(("text", "found"), [
    ('{"fingerprint": "0x101000056010407"}', "0x101000056010407"),
    ('{"target": "DPUCZDX8G_ISA1_B512"}', "0x101000056010200"),
])  # fmt: skip
def test_an_arch_file_is_read(tmp_path, text: str, found: str) -> None:
    """Both forms that AMD's files have; anything else passes through."""
    (tmp_path / "arch.json").write_text(text, encoding="utf-8")
    assert arch_of("arch.json", tmp_path) == found
    assert arch_of("DPUCZDX8G_ISA1_B800", tmp_path) == "DPUCZDX8G_ISA1_B800"


@pytest.mark.parametrize("text", ["[]", "{", '{"target": 3}'])
def test_a_bad_arch_file_has_one_clear_line(tmp_path, text: str) -> None:
    """No fingerprint, no JSON, no text."""
    (tmp_path / "arch.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"arch\.json"):
        arch_of("arch.json", tmp_path)
    with pytest.raises(InputError, match=r"missing\.json cannot be read"):
        arch_of("missing.json", tmp_path)

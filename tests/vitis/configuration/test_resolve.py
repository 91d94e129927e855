"""From a configuration and a network to the settings of every tensor."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph
from nibblefit.nn.capture import capture
from nibblefit_vitis.configuration.matching import module_path
from nibblefit_vitis.configuration.read import parse_configuration
from nibblefit_vitis.configuration.resolve import resolve
from nibblefit_vitis.configuration.schema import Configuration
from nibblefit_vitis.settings import (
    DPU_DEFAULT,
    Device,
    Kind,
    Method,
    NetworkSetting,
    RoundMode,
    Statistic,
)


class Block(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding=1)
        self.norm = nn.BatchNorm2d(after)
        self.act = nn.ReLU()

    def forward(self, x: Any) -> Any:
        """Run."""
        return self.act(self.norm(self.conv(x)))


class Network(nn.Module):
    """Two blocks, one depthwise convolution, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = Block(3, 8)
        self.layer2 = Block(8, 8)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.clip = nn.ReLU6()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Any) -> Any:
        """Run."""
        x = self.pool(self.clip(self.depthwise(self.layer2(self.layer1(x)))))
        return self.head(x.flatten(1))


@pytest.fixture(scope="module")
def graph() -> Graph:
    """Return the captured network."""
    return capture(Network().eval(), (3, 8, 8), name="network")


def entry(kinds: str = "input weights bias activation", **words: Any) -> dict[str, Any]:
    """Return an entry for layers: a type or name, and keys of its overall block."""
    names: dict[str, Any] = {
        key: words.pop(key) for key in ("layer_type", "layer_name") if key in words
    }
    return {**names, "quantizable_data_type": kinds.split(), "overall_quantize_config": words}


def resolved(graph: Graph, *entries: dict[str, Any], parity: bool = False) -> NetworkSetting:
    """Return the settings of a CPU file with some entries."""
    return resolve(_cpu(*entries, parity=parity), graph, parity=parity)[0]


def _cpu(*entries: dict[str, Any], parity: bool = False) -> Configuration:
    return parse_configuration({
        "target_device": "CPU",
        "overall_quantize_config": {"method": "maxmin", "scale_type": "float",
                                    "round_mode": "half_even", "calib_statistic_method": "max"},
        "layer_quantize_config": list(entries),
    }, parity=parity)  # fmt: skip


def bits(setting: NetworkSetting, kind: Kind, *names: str) -> list[int]:
    """Return the widths of one kind in some layers."""
    return [setting.of(name, kind).bit_width for name in names]


LAYERS = ("layer1.conv", "layer2.conv", "depthwise", "head")


def test_without_a_file_everything_is_the_dpus_default(graph: Graph) -> None:
    """Parity takes the most frequent position of batches, the default mode all samples."""
    setting, _ = resolve(Configuration(), graph, parity=False)
    assert setting.device is Device.DPU
    assert not setting.layers
    for kind in Kind:
        one, original = setting.base[kind], DPU_DEFAULT[kind]
        assert one.round_mode is original.round_mode
        assert one.method is original.method
        measured = kind in (Kind.INPUT, Kind.ACTIVATION)
        assert one.calib_statistic_method is (Statistic.POOLED if measured else Statistic.MODAL)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Conv2d", [4, 4, 4, 8]),
        ("torch.nn.Conv2d", [4, 4, 4, 8]),
        ("conv2d", [4, 4, 4, 8]),
        ("depthwise_conv2d", [8, 8, 4, 8]),
        ("Linear", [8, 8, 8, 4]),
        ("matmul", [8, 8, 8, 8]),
    ],
)
def test_types_match_by_their_last_part(graph: Graph, name: str, expected: list[int]) -> None:
    """Torch's classes with and without package, and the original's words."""
    setting = resolved(graph, entry(layer_type=name, bit_width=4))
    assert bits(setting, Kind.WEIGHTS, *LAYERS) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("layer1.conv", [4, 8, 8, 8]),
        ("layer1", [4, 8, 8, 8]),
        ("layer*.conv", [4, 4, 8, 8]),
        ("*", [4, 4, 4, 4]),
        ("layer", [8, 8, 8, 8]),
        ("Net::Net/Block[layer2]/Conv2d[conv]/ret.27", [8, 4, 8, 8]),
        ("Net::Net/Conv2d[depthwise]/input.2", [8, 8, 4, 8]),
        ("Net::Net/Block[layer9]/Conv2d[conv]/ret.27", [8, 8, 8, 8]),
        ("Net::Net/Block[layer1]/ret.9", [8, 8, 8, 8]),
        ("Other::nndct_conv2d_3", [8, 4, 8, 8]),
        ("Net::nndct_depthwise_conv2d_5", [8, 8, 4, 8]),
        ("Net::nndct_conv2d_5", [8, 8, 8, 8]),
    ],
)
def test_names_are_paths_globs_or_generated(graph: Graph, name: str, expected: list[int]) -> None:
    """The counter at the end of a generated name does not matter."""
    setting = resolved(graph, entry(layer_name=name, bit_width=4))
    assert bits(setting, Kind.WEIGHTS, *LAYERS) == expected


def test_generated_names_lose_their_counters() -> None:
    """Names that torch's tracing numbers anew keep their module path."""
    assert module_path("ResNet::ResNet/Conv2d[conv1]/ret.3") == "conv1"
    assert module_path("R::R/Sequential[layer1]/B[0]/Conv2d[conv1]/ret.27") == "layer1.0.conv1"
    assert module_path("layer1.0.conv1") == "layer1.0.conv1"
    assert module_path("Net::nndct_relu_2") == "Net::nndct_relu_2"


def test_names_win_over_types_and_later_entries_over_earlier(graph: Graph) -> None:
    """Whatever their order, the name decides; of two globs the second; equal ones are replaced."""
    setting = resolved(
        graph,
        entry(layer_name="layer1.conv", bit_width=3),
        entry(layer_type="Conv2d", bit_width=4),
        entry("weights", layer_name="depth*", bit_width=5),
        entry("weights", layer_name="depthwise", bit_width=6),
        entry(layer_type="Linear", bit_width=9),
        entry("bias", layer_type="nn.Linear", bit_width=10),
    )
    assert bits(setting, Kind.WEIGHTS, *LAYERS) == [3, 4, 6, 8]
    assert bits(setting, Kind.BIAS, *LAYERS) == [3, 4, 4, 10]


def test_an_entry_starts_from_the_networks_settings(graph: Graph) -> None:
    """Its overall block is laid over them, then its own tensor block; other kinds stay."""
    configuration = parse_configuration({
        "target_device": "CPU",
        "overall_quantize_config": {"method": "maxmin", "scale_type": "float", "bit_width": 7,
                                    "calib_statistic_method": "mean"},
        "tensor_quantize_config": {"weights": {"bit_width": 6}, "activation": {"method": "mse"}},
        "layer_quantize_config": [{
            "layer_type": "Conv2d", "quantizable_data_type": ["weights", "activation"],
            "overall_quantize_config": {"bit_width": 5},
            "tensor_quantize_config": {"weights": {"per_channel": True}},
        }],
    })  # fmt: skip
    setting, _ = resolve(configuration, graph, parity=False)
    conv = {kind: setting.of("layer1.conv", kind) for kind in Kind}
    assert [conv[kind].bit_width for kind in Kind] == [7, 5, 7, 5]
    assert conv[Kind.WEIGHTS].per_channel
    assert conv[Kind.ACTIVATION].method is Method.MSE
    assert conv[Kind.ACTIVATION].calib_statistic_method is Statistic.MEAN
    assert [setting.base[kind].bit_width for kind in Kind] == [7, 6, 7, 7]


def test_an_activation_follows_its_group(graph: Graph) -> None:
    """An entry for the ReLU decides for the convolution before it, through the batch norm."""
    setting = resolved(graph, entry("activation", layer_type="ReLU", bit_width=5))
    assert bits(setting, Kind.ACTIVATION, "layer1.conv", "layer1.act", "depthwise") == [5, 5, 8]
    setting = resolved(graph, entry("activation weights", layer_name="layer2.norm", bit_width=6))
    assert bits(setting, Kind.ACTIVATION, "layer2.conv", "layer2.act") == [6, 6]
    assert bits(setting, Kind.WEIGHTS, "layer2.conv") == [8]


def test_two_wishes_for_one_group_are_refused(graph: Graph) -> None:
    """Entries of one sort that differ; equal wishes, and a narrower later one, are none."""
    conv, relu = entry(layer_type="Conv2d", bit_width=4), entry(layer_type="ReLU", bit_width=5)
    with pytest.raises(InputError, match=r"'Conv2d'\) and .*'ReLU'\) want different activations"):
        resolved(graph, conv, relu)
    resolved(graph, conv, {**relu, "overall_quantize_config": {"bit_width": 4}})
    named = resolved(graph, conv, entry("activation", layer_name="layer1.act", bit_width=5),
                     entry("activation", layer_name="layer2.act", bit_width=5))  # fmt: skip
    assert bits(named, Kind.ACTIVATION, *LAYERS) == [5, 5, 4, 8]
    narrower = resolved(graph, entry(layer_name="layer1", bit_width=4),
                        entry(layer_name="layer1.conv", bit_width=5))  # fmt: skip
    assert bits(narrower, Kind.ACTIVATION, "layer1.conv", "layer1.act") == [5, 5]


def test_inputs_of_the_network_are_meant_by_type_and_name(graph: Graph) -> None:
    """The type is called input; the name is the graph's."""
    (name,) = graph.inputs
    for words in ({"layer_type": "input"}, {"layer_name": name}):
        setting = resolved(graph, entry("input", bit_width=6, **words))
        assert bits(setting, Kind.INPUT, name, "layer1.conv") == [6, 8]


def test_entries_that_match_nothing_are_reported(graph: Graph) -> None:
    """Each with the nearest name, in both modes."""
    entries = (
        entry(layer_name="layer1.comv", bit_width=4), entry(layer_type="Conv9d", bit_width=4),
        entry(layer_type="Softmax", bit_width=4), entry(layer_name="zzzzzz", bit_width=4),
    )  # fmt: skip
    for parity in (False, True):
        _, notes = resolve(_cpu(*entries, parity=parity), graph, parity=parity)
        unmatched = [note for note in notes if "layer_quantize_config" in note]
        assert len(unmatched) == 4
        assert "did you mean 'layer1.conv'?" in unmatched[0]
        assert "did you mean 'conv3d'?" in unmatched[1]
        assert "the network has no such layer" in unmatched[2]
        assert unmatched[3].endswith("'zzzzzz' matches no layer")


def test_a_generated_name_of_an_operation_in_a_module_asks_for_its_name(graph: Graph) -> None:
    """Its counter is not kept, so what is in the module is listed."""
    _, notes = resolve(
        _cpu(entry(layer_name="Net::Net/Block[layer1]/ret.9", bit_width=4)), graph, parity=False
    )
    assert "name it: layer1.conv, layer1.norm, layer1.act" in notes[-1]


def test_parity_takes_what_the_originals_quantizer_really_does(graph: Graph) -> None:
    """For a DPU: diffs, extremes for inputs, inputs half up; reserved switches stay off."""
    document = {
        "target_device": "DPU", "include_cle": False, "keep_add_layer_accuracy": True,
        "change_pool_input_fix": True, "onnx_opset_version": 14,
        "tensor_quantize_config": {"weights": {"method": "maxmin"}},
    }  # fmt: skip
    ours, _ = resolve(parse_configuration(document), graph, parity=False)
    theirs, notes = resolve(parse_configuration(document, parity=True), graph, parity=True)
    assert ours.base[Kind.WEIGHTS].method is Method.MAXMIN
    assert theirs.base[Kind.WEIGHTS].method is Method.DIFFS
    assert theirs.base[Kind.INPUT].method is Method.MAXMIN
    assert ours.base[Kind.INPUT].round_mode is RoundMode.STD_ROUND
    assert theirs.base[Kind.INPUT].round_mode is RoundMode.HALF_UP
    assert ours.keep_add_layer_accuracy
    assert not theirs.keep_add_layer_accuracy
    assert any("keep_add_layer_accuracy does nothing" in note for note in notes)
    for one in (ours, theirs):
        assert not one.include_cle
        assert one.change_pool_input_fix
        assert one.onnx_opset_version == 14
    assert theirs.parity
    flexml = {"target_device": "FLEXML", "overall_quantize_config": {"round_mode": "half_even"}}
    kept, _ = resolve(parse_configuration(flexml, parity=True), graph, parity=True)
    assert kept.base[Kind.INPUT].round_mode is RoundMode.HALF_EVEN


def test_parity_starts_the_percentage_anew_in_every_block(graph: Graph) -> None:
    """A block that does not mention it sets 99.99 again, as the original's merging does."""
    document = {
        "target_device": "CPU",
        "overall_quantize_config": {"method": "percentile", "percentage": 99.0,
                                    "scale_type": "float", "calib_statistic_method": "max"},
        "tensor_quantize_config": {"weights": {"bit_width": 4}},
    }  # fmt: skip
    for parity, expected in ((False, 99.0), (True, 99.99)):
        configuration = parse_configuration(document, parity=parity)
        setting, _ = resolve(configuration, graph, parity=parity)
        assert setting.base[Kind.WEIGHTS].percentage == expected
        assert setting.base[Kind.BIAS].percentage == 99.0


def test_settings_made_in_python_are_checked_as_well(graph: Graph) -> None:
    """A configuration that never was a file cannot escape the rules."""
    made = Configuration.model_validate({"overall_quantize_config": {"narrow_range": True}})
    with pytest.raises(InputError, match="narrow_range = true"):
        resolve(made, graph, parity=False)


def test_scales_per_channel_need_channels(graph: Graph) -> None:
    """A type without weights is refused; names and globs that cover others are not."""
    blocks = {"quantizable_data_type": ["weights"],
              "tensor_quantize_config": {"weights": {"per_channel": True}}}  # fmt: skip
    with pytest.raises(InputError, match="'ReLU', which has no channels of weights"):
        resolved(graph, {"layer_type": "ReLU", **blocks})
    assert resolved(graph, {"layer_type": "Linear", **blocks}).of("head", Kind.WEIGHTS).per_channel
    assert resolved(graph, {"layer_name": "*", **blocks}).of("head", Kind.WEIGHTS).per_channel
    resolved(graph, {"layer_type": "Softmax", **blocks})


def test_a_depthwise_convolution_is_a_type_of_its_own_for_the_original(graph: Graph) -> None:
    """``Conv2d`` means it, but with parity only ``depthwise_conv2d`` does."""
    narrow = entry("weights", layer_type="Conv2d", bit_width=6)
    depthwise = entry("weights", layer_type="depthwise_conv2d", bit_width=6)

    def bits(one: dict[str, Any], *, parity: bool) -> list[int]:
        setting = resolved(graph, one, parity=parity)
        return [setting.of(name, Kind.WEIGHTS).bit_width for name in ("layer1.conv", "depthwise")]

    assert bits(narrow, parity=False) == [6, 6]
    assert bits(narrow, parity=True) == [6, 8]
    assert bits(depthwise, parity=True) == [8, 6]


def test_parity_says_what_the_original_does_not_do_for_processors(graph: Graph) -> None:
    """Switches about fix positions are accepted there, and nothing reads them."""
    document = {"target_device": "CPU", "change_pool_input_fix": True,
                "overall_quantize_config": {"scale_type": "float", "method": "maxmin",
                                            "calib_statistic_method": "max"}}  # fmt: skip
    _, notes = resolve(parse_configuration(document, parity=True), graph, parity=True)
    assert "change_pool_input_fix does nothing for CPU, as in the original" in notes

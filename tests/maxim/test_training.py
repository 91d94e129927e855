"""Training in the chip's arithmetic: exactness on random networks, thresholds, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.maxim.flow import Quantized, quantized
from tests.maxim.networks import Chain, Residual, captured, random_inputs, seeded
from torch import Tensor, nn
from torch.nn import functional

from nibblefit.engine import Engine
from nibblefit.errors import RecipeError
from nibblefit.ir import legal, reference
from nibblefit.ir.graph import frozen_mapping
from nibblefit.models import Model
from nibblefit_maxim.folding import fold_model
from nibblefit_maxim.fusing.fuser import fuse
from nibblefit_maxim.lift import lift
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import MAX78000, SHIFT_RANGE
from nibblefit_maxim.qat.layer import LayerArithmetic
from nibblefit_maxim.qat.thresholds import choose_thresholds, threshold_of
from nibblefit_maxim.quantize import quantize_network
from nibblefit_maxim.settings import LayerSettings, layer_settings


def check_exact(done: Quantized, real: np.ndarray) -> None:
    """Judge, engine and training simulation agree on every integer of every layer."""
    legal.check_quantized(done.graph)
    codes = done.codes(real)
    name = done.graph.inputs[0]
    judged = reference.run(done.graph, {name: codes})
    fast = Engine(done.graph).run({name: codes}, keep="all")
    simulated = done.simulation({name: torch.from_numpy(codes)})
    assert {layer.tensor for layer in done.fused.layers} <= set(simulated)
    for tensor, value in simulated.items():
        assert np.array_equal(value.numpy(), judged.tensors[tensor]), tensor
    for tensor, value in judged.tensors.items():
        assert np.array_equal(value, fast.tensors[tensor]), tensor


class Drawn(nn.Module):
    """A random chain or residual network in one or two dimensions."""

    def __init__(self, axes: int, plan: list[tuple[str, int, int, bool]], channels: int) -> None:
        super().__init__()
        conv = nn.Conv1d if axes == 1 else nn.Conv2d
        norm = nn.BatchNorm1d if axes == 1 else nn.BatchNorm2d
        self.plan = plan
        self.max_pool = functional.max_pool1d if axes == 1 else functional.max_pool2d
        self.avg_pool = functional.avg_pool1d if axes == 1 else functional.avg_pool2d
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for kind, drawn_width, taps, normed in plan:
            width = channels if kind == "add" else drawn_width
            self.convs.append(conv(channels, width, taps, padding=taps // 2, bias=not normed))
            self.norms.append(norm(width) if normed else nn.Identity())
            channels = width
        self.head = nn.Linear(channels, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return four scores."""
        for (kind, *_), conv, norm in zip(self.plan, self.convs, self.norms, strict=True):
            y = norm(conv(x))
            match kind:
                case "add":
                    x = x + y
                case "sub":
                    x = torch.abs(y) - torch.relu(y)
                case "abs":
                    x = torch.abs(y)
                case "max":
                    x = self.max_pool(torch.relu(y), 2)
                case "avg":
                    x = self.avg_pool(y, 3, 2)
                case _:
                    x = torch.relu(y)
        return self.head(self.avg_pool(x, tuple(x.shape[2:])).flatten(1))


@st.composite
def drawn(draw: st.DrawFn) -> tuple[Drawn, tuple[int, ...]]:
    """Return a random network and its input shape."""
    axes = draw(st.sampled_from([1, 2]))
    size = draw(st.integers(6, 9))
    plan, room = [], size
    for _ in range(draw(st.integers(1, 4))):
        kinds = ["relu", "abs", "add", "sub"] + (["max", "avg"] if room >= 5 else [])
        kind = draw(st.sampled_from(kinds))
        room = {"max": room // 2, "avg": (room - 3) // 2 + 1}.get(kind, room)
        taps = draw(st.sampled_from([1, 3] if axes == 2 else [1, 3, 5]))
        plan.append((kind, draw(st.integers(1, 9)), taps, draw(st.booleans())))
    channels = draw(st.integers(1, 4))
    torch.manual_seed(draw(st.integers(0, 1000)))
    return Drawn(axes, plan, channels), (channels, *(size,) * axes)


@settings(max_examples=25)
@given(
    drawn(),
    st.sampled_from([8, 8, 4, 2, 1]),
    st.sampled_from([1.0, 0.95]),
    st.booleans(),
    st.floats(0.1, 30.0),
)
def test_training_engine_and_judge_agree_on_random_networks(
    network: tuple[Drawn, tuple[int, ...]], bits: int, quantile: float, measured: bool, gain: float
) -> None:
    """Any fused network, any width, any size of weights: every integer is the same."""
    module, shape = network
    with torch.no_grad():
        for conv in module.convs:
            conv.weight *= gain
    options = MaximOptions(
        weight_bits=bits,
        shift_quantile=quantile,
        activation_thresholds=measured,  # type: ignore[arg-type]
    )
    x = random_inputs(shape, 3)
    check_exact(quantized(captured(module, shape), x, options=options), x)


@pytest.mark.slow
@settings(max_examples=500)
@given(drawn(), st.sampled_from([8, 4, 2, 1]))
def test_many_random_networks(network: tuple[Drawn, tuple[int, ...]], bits: int) -> None:
    """The same on many more."""
    module, shape = network
    x = random_inputs(shape, 3)
    options = MaximOptions(weight_bits=bits)  # type: ignore[arg-type]
    check_exact(quantized(captured(module, shape), x, options=options), x)


@pytest.mark.parametrize(("build", "shape"), [(Chain, (1, 8, 8)), (Residual, (3, 8, 8))])
def test_chain_and_residual_network_are_exact_and_close_to_float(
    build: type[nn.Module], shape: tuple[int, ...]
) -> None:
    """Eight bits keep the output within a few percent of the float network."""
    x = random_inputs(shape, 64)
    module = seeded(build)
    done = quantized(captured(module, shape), x)
    check_exact(done, x)
    with torch.no_grad():
        real = module(torch.from_numpy(x))
        found = done.network(torch.from_numpy(x))[0]
    assert float((found - real).abs().mean() / real.abs().mean()) < 0.15


def test_onnx_file_gives_the_same_integers(tmp_path: object) -> None:
    """A residual network and an ONNX file of it become the same integer graph."""
    from nibblefit.nn.onnx_export import export_onnx  # type: ignore[attr-defined]
    from nibblefit.nn.onnx_import import import_onnx  # type: ignore[attr-defined]

    x = random_inputs((3, 8, 8), 16)
    graph = captured(seeded(Residual), (3, 8, 8))
    path = tmp_path / "net.onnx"  # type: ignore[operator]
    export_onnx(graph, path)
    one, two = quantized(graph, x), quantized(import_onnx(path), x)
    codes = one.codes(x)
    first = reference.run(one.graph, {one.graph.inputs[0]: codes}).outputs
    second = reference.run(two.graph, {two.graph.inputs[0]: codes}).outputs
    for a, b in zip(first.values(), second.values(), strict=True):
        assert np.array_equal(a, b)
    assert len(one.fused.layers) == len(two.fused.layers)


def test_layer_beyond_float32_is_computed_in_float64() -> None:
    """More than 1,023 terms of 8 × 8 bits leave float32; fewer bits allow more terms."""
    module = nn.Sequential(nn.Conv2d(120, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 1))
    with torch.no_grad():
        module[0].weight.fill_(0.9)
    x = np.ones((2, 120, 4, 4), np.float32)
    done = quantized(captured(module, (120, 4, 4)), x)
    first, second = done.fused.layers
    assert not LayerArithmetic(first, LayerSettings(8)).float32_is_exact
    assert LayerArithmetic(first, LayerSettings(4)).float32_is_exact
    assert LayerArithmetic(second, LayerSettings(8)).float32_is_exact
    check_exact(done, x)


def test_gradients_reach_every_parameter() -> None:
    """Rounding is straight-through, so training moves all weights and biases."""
    done = quantized(captured(seeded(Residual), (3, 8, 8)), random_inputs((3, 8, 8), 8))
    network = done.network.train()
    network(torch.from_numpy(random_inputs((3, 8, 8), 4)))[0].square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.abs().sum() > 0), name


def test_folding_keeps_the_function_and_moves_masks() -> None:
    """Batch norm disappears, and a pruned weight stays pruned under its new name."""
    graph = captured(seeded(Chain), (1, 8, 8))
    node = next(node for node in graph.nodes if node.name == "conv1")
    other = next(node for node in graph.nodes if node.name == "conv3")
    masks = {
        name: np.zeros(graph.constants[name].shape, dtype=bool)
        for name in (node.inputs[1], other.inputs[1])
    }
    folded = fold_model(Model(graph, masks=frozen_mapping(masks)))
    assert not any(node.op.value == "batch_norm" for node in folded.graph.nodes)
    new = next(node for node in folded.graph.nodes if node.name == "conv1")
    assert set(folded.masks) == {new.inputs[1], other.inputs[1]}
    assert all(value.dtype == np.float32 for value in folded.graph.constants.values())


@pytest.mark.parametrize(
    ("values", "threshold"),
    [([0.0, 0.0], 0), ([0.9, -0.2], 0), ([3.9, 0.1], 2), ([0.01, -0.012], -6)],
)
def test_threshold_holds_the_values(values: list[float], threshold: int) -> None:
    """The smallest power of two above the largest value wins where all values matter."""
    assert threshold_of(np.array(values), 8.0) == threshold


def test_threshold_ignores_outliers_and_weighs_precision() -> None:
    """One far value does not cost all others their precision."""
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(0, 0.2, 100_000), [40.0]])
    assert threshold_of(values, 8.0) <= 1
    assert threshold_of(values, 1e9) > 1


def test_operands_share_a_threshold_and_the_input_has_none() -> None:
    """What the hardware adds without shifting has one scale."""
    fused = fuse(captured(seeded(Residual), (3, 8, 8)), MAX78000)
    adding = next(layer for layer in fused.layers if layer.eltwise)
    values = {name: np.full(10, 3.0 * (i + 1)) for i, name in enumerate(adding.inputs)}
    found = choose_thresholds(fused, values, 8.0)
    assert found[fused.input] == 0
    assert len({found[name] for name in (*adding.inputs, adding.tensor)}) == 1


def test_pool_on_the_input_keeps_the_inputs_scale() -> None:
    """A tensor tied to the input has threshold 0, and a wide sum of it is exact."""
    module = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(2, 3, 1))
    done = quantized(captured(module, (2, 4, 4)), random_inputs((2, 4, 4), 4))
    assert set(done.thresholds.values()) == {0}
    check_exact(done, random_inputs((2, 4, 4), 4))


@pytest.mark.parametrize("threshold", [-60, 60])
def test_shift_stays_within_the_hardware(threshold: int) -> None:
    """An absurd threshold limits the weights' scale; the shift never leaves −15 … 15."""
    graph = fold_model(Model(captured(seeded(Chain), (1, 8, 8)))).graph
    fused = fuse(graph, MAX78000)
    settings = layer_settings(fused, MaximOptions(), {})
    thresholds = {fused.layers[0].tensor: threshold}
    items = lift(quantize_network(graph, fused, settings, thresholds, MAX78000))
    assert all(item.total_shift in SHIFT_RANGE for item in items)


def test_settings_per_layer() -> None:
    """Globs apply in order; unknown names, keys and values are refused together."""
    fused = fuse(captured(seeded(Chain), (1, 8, 8)), MAX78000)
    found = layer_settings(
        fused, MaximOptions(weight_bits=4), {"conv*": {"weight_bits": 2}, "conv2": {
            "shift_quantile": 0.9}},
    )  # fmt: skip
    assert found["head"] == LayerSettings(4, 1.0)
    assert found["conv2"] == LayerSettings(2, 0.9)
    with pytest.raises(RecipeError) as error:
        layer_settings(fused, MaximOptions(), {
            "convv1": {}, "head": {"weight_bits": 3, "shift_quantile": 0, "bits": 8},
        })  # fmt: skip
    for word in ("did you mean 'conv1'", "weight_bits is 3", "shift_quantile is 0", "key 'bits'"):
        assert word in str(error.value)
    assert len(error.value.problems) == 4

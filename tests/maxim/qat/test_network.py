"""Parts of the quantizing network that whole runs reach rarely."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.maxim.networks import Residual, captured, lively, random_inputs, seeded
from torch import Tensor, nn
from torch.nn import functional

from nibblefit.models import Model
from nibblefit.nn.network import Network
from nibblefit_maxim.folding import fold_model
from nibblefit_maxim.fusing.fuser import fuse
from nibblefit_maxim.layers import Eltwise, HardwareLayer, Operator, Pool, PoolKind
from nibblefit_maxim.parts import MAX78000
from nibblefit_maxim.qat.advice import training_advice
from nibblefit_maxim.qat.clipped import ClippedNetwork
from nibblefit_maxim.qat.gathering import gather
from nibblefit_maxim.qat.network import QatNetwork
from nibblefit_maxim.qat.normalization import fold_for, normed_layers
from nibblefit_maxim.qat.rounding import weight_scale, whole_average
from nibblefit_maxim.qat.thresholds import ThresholdMeter, choose_thresholds, sum_of
from nibblefit_maxim.scales import weight_exponent


@given(st.integers(-1000, 1000), st.integers(1, 64), st.booleans())
def test_averages_are_the_hardwares(total: int, count: int, rounded: bool) -> None:
    """Truncated toward zero, or halves away from zero; the gradient passes unchanged."""
    average = torch.tensor([total / count], dtype=torch.float32, requires_grad=True)
    found = whole_average(average, count, is_rounded=rounded)
    size = abs(total)
    expected = (2 * size + count) // (2 * count) if rounded else size // count
    assert float(found.detach()) == (expected if total >= 0 else -expected)
    found.sum().backward()
    assert average.grad is not None
    assert float(average.grad) == 1.0


def _layer(eltwise: Eltwise, **more: object) -> HardwareLayer:
    return HardwareLayer(
        "add", Operator.PASSTHROUGH, ("a", "b"), (2, 4, 4), (2, 4, 4), eltwise=eltwise,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize("kind", [Eltwise.OR, Eltwise.XOR])
def test_bits_of_codes_are_combined(kind: Eltwise) -> None:
    """On two's complement; operands that lie side by side are taken apart first."""
    random = np.random.default_rng(0)
    a, b = random.integers(-128, 128, (2, 3, 2, 4, 4))
    expected = np.bitwise_or(a, b) if kind is Eltwise.OR else np.bitwise_xor(a, b)
    tensors = [torch.from_numpy(x.astype(np.float32)) for x in (a, b)]
    found = gather(_layer(kind), tensors, quantized=True)
    assert np.array_equal(found.numpy(), expected)
    packed = gather(_layer(kind, packed=2), [torch.cat(tensors, 1)], quantized=True)
    assert np.array_equal(packed.numpy(), expected)
    real = gather(_layer(kind), [x / 128 for x in tensors], quantized=False)
    assert np.array_equal(real.numpy() * 128, expected)


def test_pooling_behind_a_sum_sees_the_clipped_sum() -> None:
    """With pool_first off the sum saturates before its maximum is taken."""
    pool = Pool(PoolKind.MAX, (2, 2), (2, 2), (1, 1))
    tensors = [torch.full((1, 2, 4, 4), 100.0)] * 2
    found = gather(_layer(Eltwise.ADD, pool=pool, pool_first=False), tensors, quantized=True)
    assert found.shape == (1, 2, 2, 2)
    assert set(found.unique().tolist()) == {127.0}


@given(
    st.lists(
        st.floats(-4, 4, width=32, allow_nan=False)
        | st.sampled_from([0.0, 0.25, 0.5, 1.0, 0.50000006, 0.49999997, 1e-30, 1e-38]),
        min_size=1,
        max_size=300,
    ),
    st.sampled_from([0.985, 0.95, 0.9, 0.6, 0.1]),
    st.sampled_from([1.0, 1e-3, 1e-36]),
)
def test_quantile_by_counting_equals_that_of_all_sorted(
    values: list[float], share: float, size: float
) -> None:
    """Whether few or many values lie above it, on powers of two and between them."""
    weights = np.array(values, np.float32) * np.float32(size)
    found = weight_scale(torch.from_numpy(weights), None, 8, share, 0)
    assert float(found) == 2.0 ** weight_exponent(weights, None, 8, share)


def test_sums_count_for_the_threshold_of_their_operands() -> None:
    """Operands within ±1 whose sum reaches 2 get a threshold that holds the sum."""
    fused = fuse(captured(seeded(Residual), (3, 8, 8)), MAX78000)
    adding = next(layer for layer in fused.layers if layer.eltwise)
    values = {name: np.array([0.9, -0.9]) for name in adding.inputs}
    values[sum_of(adding)] = np.array([1.8, -1.8])
    found = choose_thresholds(fused, values, 8.0)
    assert {found[name] for name in adding.inputs} == {1}
    graph = fold_model(Model(captured(seeded(Residual), (3, 8, 8)))).graph
    fused = fuse(graph, MAX78000)
    meter = ThresholdMeter(fused)
    network = QatNetwork(graph, fused, {}, {}, quantized=False).eval()
    x = torch.from_numpy(random_inputs((3, 8, 8), 4))
    for name, value in network.run_layers(x).items():
        meter.add(name, value.detach().numpy())
    assert sum_of(next(layer for layer in fused.layers if layer.eltwise)) in meter.values()


class Normed(nn.Module):
    """A strided convolution with batch norm, a sum, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm = nn.Conv2d(2, 4, 3, padding=1, stride=2), nn.BatchNorm2d(4)
        self.b = nn.Conv2d(2, 4, 1, stride=2)
        self.head = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        y = torch.relu(self.norm(self.a(x))) + self.b(x)
        return self.head(y.flatten(1))


def test_first_generation_clips_layers_and_quarters_batch_norm() -> None:
    """Against the formula written out in torch; folding gives the same function."""
    module = lively(seeded(Normed))
    with torch.no_grad():
        module.a.weight.mul_(6.0)
    graph = captured(module, (2, 8, 8))
    fused = fuse(graph, MAX78000)
    network = ClippedNetwork(graph, fused).eval()
    x = torch.from_numpy(random_inputs((2, 8, 8), 4))

    def clip(value: Tensor) -> Tensor:
        return value.clamp(-1.0, 127 / 128)

    with torch.no_grad():
        y = clip(torch.relu(module.norm(module.a(x)) / 4))
        expected = module.head(clip(y + clip(module.b(x))).flatten(1))
        assert torch.allclose(network(x)[0], expected, atol=1e-6)
    assert set(normed_layers(graph).values()) == {"a"}
    folded = fold_for(Model(graph), "v1").graph
    whole = fold_for(Model(graph), "v2").graph
    with torch.no_grad():
        quarter = functional.relu(module.norm(module.a(x)) / 4)
        found = Network(folded).eval().forward_all(x)
        name = next(n.output for n in folded.nodes if n.op.value == "relu")
        assert torch.allclose(found[name], quarter, atol=1e-5)
        assert torch.allclose(Network(whole).eval()(x)[0], module(x), atol=1e-4)


def test_network_with_a_host_part_travels_to_other_processes() -> None:
    """Softmax stays with the host, in float here, and the whole network pickles."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(8, 4), nn.Softmax(1))
    graph = captured(module, (2, 2, 2))
    network = QatNetwork(graph, fuse(graph, MAX78000), {}, {}).eval()
    x = torch.from_numpy(random_inputs((2, 2, 2), 3))
    again = pickle.loads(pickle.dumps(network))
    with torch.no_grad():
        (scores,) = network(x)
        assert torch.equal(again(x)[0], scores)
    assert torch.allclose(scores.sum(1), torch.ones(3))


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                       nn.Flatten(), nn.Linear(4, 3)), "global pooling"),
        (nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(8),
                       nn.Conv2d(4, 3, 1)), "global pooling"),
        (nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3),
                       nn.ReLU(), nn.Flatten(), nn.Linear(4, 3)), "1 position;"),
        (nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                       nn.Linear(64, 3)), ""),
        (nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU()), ""),
    ],
)  # fmt: skip
def test_hard_endings_are_warned_of(module: nn.Module, words: str) -> None:
    """A global pool before the classifier, and maps of too few positions; nothing else."""
    found = training_advice(fuse(captured(module, (2, 8, 8)), MAX78000))
    if words:
        assert len(found) == 1
        assert words in found[0]
    else:
        assert found == ()

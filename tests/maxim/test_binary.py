"""Binary weights of the MAX78002: scales, gradients, every operator, files, refusals, training."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from tests.maxim.agreement import agree
from tests.maxim.networks import Chain, Residual, captured, seeded
from tests.maxim.qat.runs import accuracies, carried_out, decisions, recipe
from torch import nn

from nibblefit.conformance.bench import Bench
from nibblefit.engine import Engine
from nibblefit.errors import InputError, RecipeError
from nibblefit.ir import reference
from nibblefit.ir.graph import frozen_mapping
from nibblefit.plan import Stage
from nibblefit_maxim import library
from nibblefit_maxim.fusing.fuser import fuse
from nibblefit_maxim.inspection import inspect_graph
from nibblefit_maxim.lift import lift
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.options import MaximOptions, SearchOptions
from nibblefit_maxim.parts import MAX78000, MAX78002
from nibblefit_maxim.qat.rounding import binary_scale, binary_weights
from nibblefit_maxim.qat.start import start
from nibblefit_maxim.reading.network import read_files
from nibblefit_maxim.scales import binary_exponent, quantize_parameters
from nibblefit_maxim.settings import layer_settings
from nibblefit_maxim.writing.folder import write_folder

BINARY = MaximOptions(weight_bits="binary")
_floats = st.lists(st.floats(-8.0, 8.0, width=32, allow_nan=False), min_size=1, max_size=40)


@given(_floats)
@example([0.75, 0.75])
@example([1.5, -1.5, 1.5])
@example([0.0, 0.0])
def test_scale_is_the_power_of_two_nearest_to_the_mean(values: list[float]) -> None:
    """No other power of two has a smaller squared error, in exact fractions; torch agrees."""
    array = np.array(values, np.float32)
    exponent = binary_exponent(array)
    assert float(binary_scale(torch.from_numpy(array), 0)) == 2.0**exponent
    magnitudes = [Fraction(abs(float(v))) for v in array]
    largest = max(magnitudes)
    # Digits below 2^−24 of the largest magnitude do not count.
    if largest == 0 or min((m for m in magnitudes if m), default=1) < largest / 2**10:
        return

    def error(power: int) -> Fraction:
        return sum(((m - Fraction(2) ** -power) ** 2 for m in magnitudes), Fraction(0))

    if -8 < exponent < 22:
        assert error(exponent) <= min(error(exponent - 1), error(exponent + 1))


def test_codes_are_signs_and_the_bias_has_eight_bits() -> None:
    """Zero counts as positive; the bias is rounded half up in units of the weights."""
    codes = quantize_parameters(
        np.array([0.5, -0.25, 0.0, -1e-9], np.float32), np.array([0.3, -40.0]), 1, is_binary=True
    )
    assert codes.exponent == 2  # the mean is 0.19
    assert codes.weights.tolist() == [1, -1, 1, -1]
    assert codes.bias is not None
    assert codes.bias.tolist() == [1, -128]


def test_gradient_stops_only_where_it_would_lead_further_away() -> None:
    """Straight-through inside; far outside, only steps toward zero pass."""
    values = torch.tensor([0.1, 3.0, 3.0, -3.0], requires_grad=True)
    one = torch.tensor(1.0)
    binary_weights(values, one, one).backward(torch.tensor([1.0, 1.0, -1.0, 1.0]))
    assert values.grad is not None
    assert values.grad.tolist() == [1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(3, 6, 3, padding=1), (3, 9, 12)),
        (nn.Conv2d(4, 4, 3, padding=1, groups=4), (4, 9, 12)),
        (nn.Conv2d(130, 6, 1, bias=False), (130, 4, 4)),
        (nn.Conv1d(3, 6, 9, padding=2), (3, 20)),
        (nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1), (3, 9, 12)),
        (nn.Sequential(nn.Flatten(), nn.Linear(36, 5)), (4, 3, 3)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
@pytest.mark.parametrize("wide", [True, False])
def test_every_operator_agrees(layer: nn.Module, shape: tuple[int, ...], wide: bool) -> None:
    """Judge, engine, training and the lifted graph agree; every code is plus or minus one."""
    torch.manual_seed(1)
    options = MaximOptions(weight_bits="binary", wide_output=wide)
    done = agree(nn.Sequential(layer), shape, part=MAX78002, options=options)
    (item,) = lift(done.graph)
    assert item.is_binary
    assert set(np.unique(item.weights)) == {-1, 1}
    assert LayerNeeds(item.layer, item.weight_bits).kernel_words == (
        LayerNeeds(item.layer, 1).kernel_words
    )


@pytest.mark.parametrize("build", [Chain, Residual])
def test_network_becomes_files_that_read_back(build: type[nn.Module], tmp_path: Path) -> None:
    """YAML and checkpoint say binary, and independent code reads the same integers from them."""
    shape = (1 if build is Chain else 3, 8, 8)
    overrides = {"head": {"weight_bits": 4}}
    network = seeded(build)
    done = agree(network, shape, part=MAX78002, options=BINARY, overrides=overrides)
    artifact = write_folder(done.graph, MAX78002, tmp_path, np.zeros(shape, np.int64))
    layers = yaml.safe_load((tmp_path / "network.yaml").read_text())["layers"]
    widths = [layer["quantization"] for layer in layers if "quantization" in layer]
    assert "bin" in widths
    assert widths[-1] == 4
    state = torch.load(tmp_path / "checkpoint-q.pth.tar", weights_only=True)["state_dict"]
    assert set(state["conv2.op.weight" if build is Chain else "a.op.weight"].unique().tolist()) == {
        -1.0, 1.0,
    }  # fmt: skip
    back = read_files(
        tmp_path / "network.yaml", tmp_path / "checkpoint-q.pth.tar", shape, MAX78002,
        flags=artifact.notes["flags"], host=artifact.notes["host"],
    )  # fmt: skip
    x = np.random.default_rng(0).integers(-128, 128, (3, *shape))
    expected = reference.run(done.graph, {done.graph.inputs[0]: x}).outputs
    found = Engine(back).run({back.inputs[0]: x}).outputs
    for one, other in zip(expected.values(), found.values(), strict=True):
        assert np.array_equal(one, other)


def test_refused_on_the_part_that_has_none() -> None:
    """The MAX78000 names the layers and the two ways out; inspection says the same."""
    graph = captured(seeded(Chain), (1, 8, 8))
    fused = fuse(graph, MAX78000)
    with pytest.raises(RecipeError, match=r"MAX78000 has no binary weights.*'conv2'.*max78002"):
        layer_settings(fused, MaximOptions(), {"conv2": {"weight_bits": "binary"}}, part=MAX78000)
    report = inspect_graph(graph, MAX78000, BINARY, {})
    assert any("no binary weights" in finding.message for finding in report.findings)
    assert layer_settings(fused, BINARY, {}, part=MAX78002)["conv2"].is_binary


def test_refused_among_zeros() -> None:
    """A 2×2 kernel runs among zeros, which binary weights do not have."""
    graph = captured(nn.Sequential(nn.Conv2d(1, 4, 2)), (1, 8, 8))
    with pytest.raises(RecipeError, match=r"'0' cannot have binary weights.*2×2 runs as 3×3"):
        layer_settings(fuse(graph, MAX78002), BINARY, {}, part=MAX78002)


def test_search_takes_binary_for_one_bit() -> None:
    """It is the narrowest choice; together with 1 bit it is refused."""
    search = SearchOptions(bits=("binary", 8))
    assert search.bits == (8, "binary")
    assert search.widths == (8, 1)
    assert search.named(1) == "binary"
    assert SearchOptions(bits=(8, 1)).named(1) == 1
    with pytest.raises(ValueError, match="binary counts as 1"):
        SearchOptions(bits=(1, "binary"))


def test_training_learns_with_binary_weights(tmp_path: Path) -> None:
    """A run trains, quantizes, evaluates and writes files; digits are told apart."""
    made = recipe(
        {"part": "max78002", "weight_bits": "binary"}, epochs=4, plain=True,
        steps={"qat": {"epochs": 6, "learning_rate": 3e-3}},
        layers={"7": {"weight_bits": 8}},
    )  # fmt: skip
    opened = carried_out(made, tmp_path / "run", until="compile")
    model = opened.model("qat")
    kept = decisions(model).settings
    assert [one.width for one in kept.values()].count("binary") == len(kept) - 1
    scores = accuracies(model)[-6:]
    assert max(scores) > 0.85
    assert max(scores) > scores[0] - 1e-9


def test_pruned_weights_cannot_be_binary() -> None:
    """A weight that pruning holds at zero would become one; the layer is named."""
    bench = Bench("maxim", "max78002")
    case = next(case for case in bench.cases if case.name == "chain")
    run = bench.run_for(case, Stage.TRAIN)
    run = replace(run, options=BINARY)
    model = bench.model(case)
    fused = fuse(model.graph, MAX78002)
    layer = next(x for x in fused.layers if x.weight and x.embedding is None)
    mask = np.ones(model.graph.constants[layer.weight].shape, bool)
    mask.flat[0] = False
    with pytest.raises(RecipeError, match=rf"{layer.name}.* pruned.*no zero"):
        start(run, replace(model, masks=frozen_mapping({layer.weight: mask})))
    bench.close()


def test_fused_classes_train_with_binary_weights() -> None:
    """Outputs are codes, gradients reach the weights, and a typing error is one clear line."""
    torch.manual_seed(0)
    model = nn.Sequential(library.FusedConv2dReLU(1, 4, 3, weight_bits="binary"))
    library.start_qat(model, weight_bits="binary")
    layer = model[0]
    codes = model(torch.rand(2, 1, 6, 6)) * 128
    assert torch.equal(codes, codes.round())
    codes.sum().backward()
    assert layer.op.weight.grad.abs().sum() > 0
    assert "binary bits" in repr(layer)
    with pytest.raises(InputError, match="'bin'; expected 1, 2, 4, 8 or 'binary'"):
        library.Conv2d(1, 4, 3, weight_bits="bin")
    with pytest.raises(RecipeError, match="weight_bits is 3; expected 8, 4, 2, 1 or 'binary'"):
        library.start_qat(model, weight_bits=3)

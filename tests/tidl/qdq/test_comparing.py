"""onnxruntime against judge and engine: every differing integer has its reason."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tidl.networks import Net, classifier, samples
from tests.tidl.qdq.models import MODES, everything, initializer, made, replace

from nibblefit.engine import Engine
from nibblefit.errors import InputError, MismatchError, MissingExtraError
from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.quantize import quantize
from nibblefit.ir import reference
from nibblefit.quantization.qdq import agreement
from nibblefit.quantization.qdq.running import run_onnx
from nibblefit_tidl.qdq.comparing import compare


@pytest.mark.parametrize(("part", "kind"), MODES)
def test_every_difference_is_explained(part: str, kind: int) -> None:
    """All operators, thousands of integers: nothing is left over."""
    network = everything()
    graph, model = made(part, kind, network, batch=16)
    found = compare(graph, model, {"x": samples(network, 16, seed=5)})
    total = found.total
    assert (total.unexplained, total.factors) == (0, 0)
    assert 0 < total.differing <= total.exact_ties + total.near_ties + total.inherited
    assert total.farthest < 1e-3
    found.require_explained()


def test_asymmetric_networks_agree_to_the_integer() -> None:
    """31-bit multipliers and float32 differ only where a tie is near, which is rare."""
    graph, model = made("am68a", 4, batch=64)
    total = compare(graph, model, {"x": samples(classifier(), 64, seed=5)}).total
    assert total.unexplained == total.factors == 0
    assert total.near_ties <= total.count // 10_000


def test_the_devices_average_is_a_factor_of_its_own() -> None:
    """With powers of two the device multiplies by 114/4096 where ONNX divides by 36."""
    graph, model = made("tda4vm", 1, batch=64)
    found = compare(graph, model, {"x": samples(classifier(), 64, seed=5)})
    assert found.total.unexplained == 0
    assert {name for name, entry in found.tensors.items() if entry.factors} == {"mean"}


@given(st.integers(0, 2**32 - 1))
def test_ties_are_those_of_exact_fractions(seed: int) -> None:
    """One layer with powers of two: ONNX rounds halves to even, the device up, all else equal."""
    net = Net((2, 4, 4), seed)
    network = net.finish(net.conv(net.x, 2, "c", kernel=1))
    graph, model = made("tda4vm", 1, network, batch=4)
    x = samples(network, 4, seed=seed)
    found = compare(graph, model, {"x": x}).tensors["c"]
    codes = quantize(x, graph.tensors["x"].format, Rounding(graph.metadata["input_rounding"]))
    weights, bias = (graph.constants[name] for name in graph.node("c").inputs[1:])
    lifted = bias * 2 ** _lift(graph)
    sums = np.einsum("bihw,oi->bohw", codes, weights[:, :, 0, 0]) + lifted.reshape(1, -1, 1, 1)
    shift = int(np.log2(graph.tensors["c"].format.scale.values()[0] / _accumulator(graph)))
    up = [math.floor(Fraction(int(s), 2**shift) + Fraction(1, 2)) for s in sums.reshape(-1)]
    even = [round(Fraction(int(s), 2**shift)) for s in sums.reshape(-1)]
    clipped = [np.clip(side, -128, 127) for side in (up, even)]
    assert found.exact_ties == int((clipped[0] != clipped[1]).sum())
    assert found.near_ties == found.factors == found.unexplained == 0
    judged = reference.run(graph, {"x": codes}).outputs["c"]
    assert np.array_equal(judged.reshape(-1), clipped[0])


def _accumulator(graph: object) -> float:
    x, w = (graph.tensors[name].format.scale.values()[0] for name in ("x", "c.weight"))
    return float(x * w)


def _lift(graph: object) -> int:
    bias = graph.tensors["c.bias"].format.scale.values()[0]
    return int(np.log2(bias / _accumulator(graph)))


def test_a_wrong_weight_is_not_explained() -> None:
    """A file that says something else than the graph is an error, and names the layer."""
    graph, model = made("am68a", 4, batch=4)
    codes = initializer(model, "a.weight_quantized").copy()
    codes[0] += np.where(codes[0] < 100, 20, -20).astype(np.int8)
    replace(model, "a.weight_quantized", codes)
    found = compare(graph, model, {"x": samples(classifier(), 4)})
    assert {name for name, entry in found.tensors.items() if entry.unexplained} == {"a.relu"}
    with pytest.raises(MismatchError, match=r"'a\.relu'"):
        found.require_explained()


def test_what_follows_a_difference_is_inherited() -> None:
    """Layers behind a wrong one are judged by what they were fed."""
    graph, model = made("am68a", 4, batch=4)
    replace(model, "stem.bias_quantized", initializer(model, "stem.bias_quantized") + 4000)
    found = compare(graph, model, {"x": samples(classifier(), 4)}).tensors
    assert found["pool"].inherited == found["pool"].differing > 0
    assert found["pool"].unexplained == found["a.relu"].unexplained == 0
    assert found["stem.norm.relu"].unexplained > 0


def test_the_engine_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that differs from the judge is an error of its own."""
    graph, model = made("am68a", 4)
    real = Engine

    class Wrong:
        def __init__(self, graph: object) -> None:
            self.engine = real(graph)

        def run(self, codes: object, keep: str) -> object:
            run = self.engine.run(codes, keep=keep)
            tensors = {name: values + (name == "b") for name, values in run.tensors.items()}
            return SimpleNamespace(tensors=tensors)

    monkeypatch.setattr(agreement, "Engine", Wrong)
    with pytest.raises(MismatchError, match="engine and judge differ in tensor 'b'"):
        compare(graph, model, {"x": samples(classifier(), 1)})


def test_a_moved_code_that_differs_is_not_explained(tmp_path: Path) -> None:
    """Maxima round nothing, so nothing excuses them; the file is read from its path."""
    graph, model = made("am68a", 4)
    replace(model, "pool_scale", np.float32(2) * initializer(model, "pool_scale"))
    onnx.save(model, str(tmp_path / "net.onnx"))
    found = compare(graph, tmp_path / "net.onnx", {"x": samples(classifier(), 1)})
    assert found.tensors["pool"].unexplained > 0


def test_onnxruntime_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, the text says what to install."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    graph, model = made("am68a", 4)
    with pytest.raises(MissingExtraError, match="'runtime'"):
        compare(graph, model, {"x": samples(classifier(), 1)})


def test_inputs_that_do_not_fit_are_refused() -> None:
    """With the message of onnxruntime."""
    _, model = made("am68a", 4)
    with pytest.raises(InputError, match="onnxruntime refuses the model"):
        run_onnx(model, {"x": samples(classifier(), 2)})


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize(("part", "kind"), MODES)
def test_many_networks_leave_nothing_unexplained(part: str, kind: int, seed: int) -> None:
    """Millions of integers; ties lie within a ten-thousandth of a step."""
    network = classifier(seed)
    graph, model = made(part, kind, network, batch=64)
    total = compare(graph, model, {"x": samples(network, 64, seed=seed + 100)}).total
    assert total.unexplained == 0
    assert total.factors == 0 or kind == 1
    assert total.farthest < 1e-4

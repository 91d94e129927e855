"""Bitwise words: their meaning, their gradient, and their way into the graph."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from nibblefit.errors import UnsupportedError
from nibblefit.ir import legal
from nibblefit.ir.float_reference import run_float
from nibblefit.ir.ops import Op
from nibblefit.nn.capture import capture
from nibblefit.nn.network import Network
from nibblefit.nn.onnx_export import export_onnx
from nibblefit.nn.onnx_import import import_onnx
from nibblefit.nn.words import words_or, words_xor

values = st.floats(-3.0, 3.0, width=32)


class Combined(nn.Module):
    """Two convolutions and a bitwise function of them."""

    def __init__(self, function, **word: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv1d(1, 2, 1), nn.Conv1d(1, 2, 1)
        self.function, self.word = function, word

    def forward(self, x: Tensor) -> Tensor:
        """Combine."""
        return self.function(self.a(x), self.b(x), x.sum(1, keepdim=True) * 0.5, **self.word)


def _exact(value: float, bits: int, frac: int) -> int:
    rounded = math.floor(Fraction(value) * Fraction(2) ** frac + Fraction(1, 2))
    return min(max(rounded, -(2 ** (bits - 1))), 2 ** (bits - 1) - 1)


@given(values, values, values, st.sampled_from([(8, 7), (8, 5), (4, 0), (16, 9)]))
def test_words_are_rounded_clipped_and_combined(
    a: float, b: float, c: float, form: tuple[int, int]
) -> None:
    """Both functions equal the definition in exact fractions and Python's own operators."""
    bits, frac = form
    words = [_exact(v, bits, frac) for v in (a, b, c)]
    tensors = [torch.tensor([v], dtype=torch.float64) for v in (a, b, c)]
    found = words_or(*tensors, bits=bits, frac=frac)
    assert float(found) == (words[0] | words[1] | words[2]) / 2**frac
    found = words_xor(*tensors, bits=bits, frac=frac)
    assert float(found) == (words[0] ^ words[1] ^ words[2]) / 2**frac


def test_gradient_is_that_of_a_sum() -> None:
    """Every operand gets it where it is not clipped, also one that was broadcast."""
    a = torch.zeros(2, 3, requires_grad=True)
    b = torch.zeros(1, 3, requires_grad=True)
    words_xor(a, b).sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert (a.grad == 1).all()
    assert (b.grad == 2).all()
    c = torch.tensor([-1.0, 0.99, 1.5, -2.0], requires_grad=True)
    words_or(c, torch.zeros(4)).sum().backward()
    assert c.grad is not None
    assert c.grad.tolist() == [1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(("function", "op"), [(words_or, Op.OR), (words_xor, Op.XOR)])
@pytest.mark.parametrize("word", [{}, {"bits": 6, "frac": 4}])
def test_network_with_words_is_captured(function, op: Op, word: dict[str, int]) -> None:
    """Module, graph, float reference and trainable network compute the same."""
    torch.manual_seed(0)
    module = Combined(function, **word)
    graph = capture(module, (1, 5))
    legal.check_graph(graph)
    (node,) = [node for node in graph.nodes if node.op is op]
    assert dict(node.attributes) == {"bits": 8, "frac": 7, **word}
    x = np.random.default_rng(0).uniform(-1, 1, (3, 1, 5))
    with torch.no_grad():
        expected = module.double()(torch.from_numpy(x)).numpy()
        (found,) = Network(graph, dtype=torch.float64)(torch.from_numpy(x))
    assert np.array_equal(found.numpy(), expected)
    assert np.array_equal(run_float(graph, {"x": x})[graph.outputs[0]], expected)


def _word(x: Tensor, frac: int = 7) -> Tensor:
    return (x * 2**frac).round().clamp(-128, 127).to(torch.int32)


PLAIN = {
    "bitwise_or": lambda a, b: torch.bitwise_or(_word(a), _word(b)) / 128,
    "operator": lambda a, b: (_word(a) ^ _word(b)).float() * (1 / 128),
    "floor": lambda a, b: torch.bitwise_xor(
        torch.floor(128 * a + 0.5).clamp(-128, 127).long(), _word(b).long()
    ).to(a.dtype).div(128.0),
    "three": lambda a, b: (_word(a) | _word(b) | _word(a - b)).to(a.dtype) / 128,
    "other scale": lambda a, b: (_word(a, 5) ^ _word(b, 5)).double() / 32,
    "unscaled": lambda a, b: (a.round().clamp(-8, 7).int() | b.round().clamp(-8, 7).int()).float()
    * 1.0,
}  # fmt: skip


class Plain(nn.Module):
    """A function between two convolutions."""

    def __init__(self, function) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv1d(1, 2, 1), nn.Conv1d(1, 2, 1), nn.Conv1d(2, 2, 1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Compute."""
        return self.c(self.function(self.a(x), self.b(x)).to(x.dtype))


@pytest.mark.parametrize("name", PLAIN)
def test_plain_torch_integers_become_one_operator(name: str) -> None:
    """Rounding, clipping, integer types and factors vanish into the word's width and scale."""
    torch.manual_seed(0)
    graph = capture(Plain(PLAIN[name]), (1, 5))
    ops = [node.op for node in graph.nodes]
    assert set(ops) <= {Op.CONV, Op.OR, Op.XOR, Op.SUB}
    words = [node for node in graph.nodes if node.op in (Op.OR, Op.XOR)]
    expected = {"other scale": (8, 5), "unscaled": (4, 0)}.get(name, (8, 7))
    assert {(n.attributes["bits"], n.attributes["frac"]) for n in words} == {expected}


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda a, b: a.round() + b, "combines words with real numbers"),
        (lambda a, b: a.round() * b.round(), "rounds or turns values into integers"),
        (lambda a, b: a.int() + b, "turns values into integers"),
        (lambda a, b: torch.floor(a) + b, "rounds or turns values"),
        (lambda a, b: torch.round(a, decimals=2) + b, "rounds to decimals"),
        (lambda a, b: _word(a) & _word(b), "rounds or turns values"),
        (lambda a, b: (_word(a) | _word(b, 5)) / 128, "7 and 5 of them fractional"),
        (lambda a, b: (_word(a) | _word(b)) / 64, "divide it by 128"),
        (lambda a, b: (_word(a).clamp(-100, 3) | _word(b)) / 128, "clipped to -100"),
        (lambda a, b: _word(a) | _word(b), "rounds or turns values"),
    ],
)
def test_other_integers_are_refused_by_name(function, words: str) -> None:
    """What is no bitwise word has no operator, and the refusal shows what has one."""
    with pytest.raises(UnsupportedError, match=words):
        capture(Plain(function), (1, 5))


def test_integers_as_a_result_are_refused() -> None:
    """A network hands out real values; the refusal says how to have one."""

    class Whole(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return _word(x) | _word(x * 0.5)

    with pytest.raises(UnsupportedError, match="returns whole numbers"):
        capture(Whole(), (1, 5))


@pytest.mark.parametrize("function", [words_or, words_xor])
def test_words_are_exported(function, tmp_path: Path) -> None:
    """The file computes the same in ONNX's own reference; older operator sets are refused."""
    graph = capture(Combined(function), (1, 5))
    with pytest.raises(UnsupportedError, match="opset 18 or newer"):
        export_onnx(graph, tmp_path / "net.onnx")
    export_onnx(graph, tmp_path / "net.onnx", opset=18)
    x = np.random.default_rng(0).uniform(-1, 1, (3, 1, 5)).astype(np.float32)
    (found,) = ReferenceEvaluator(str(tmp_path / "net.onnx")).run(None, {"x": x})
    assert np.array_equal(found, run_float(graph, {"x": x}, np.float32)[graph.outputs[0]])
    again = import_onnx(tmp_path / "net.onnx")
    assert [node.op for node in again.nodes if node.op in (Op.OR, Op.XOR)] == [
        node.op for node in graph.nodes if node.op in (Op.OR, Op.XOR)
    ] * 2  # ONNX combines two at a time
    read = run_float(again, {"x": x}, np.float32)[again.outputs[0]]
    assert np.array_equal(read, found)


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (["Floor"], "rounds or turns values"),
        (["Round", "Relu"], "Relu: it rounds or turns values"),
        (["Round", "Clip"], "Clip: it rounds or turns values"),
        (["Round"], "'t1'.*holds whole numbers"),
    ],
)
def test_integers_of_a_file_are_refused_by_name(
    kinds: list[str], words: str, tmp_path: Path
) -> None:
    """What is no bitwise word is named, also at the end of a network."""
    nodes = [
        helper.make_node(kind, [f"t{i}" if i else "x"], [f"t{i + 1}"], name=kind)
        for i, kind in enumerate(kinds)
    ]
    value = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 5])]
    end = [helper.make_tensor_value_info(f"t{len(kinds)}", TensorProto.FLOAT, ["N", 1, 5])]
    model = helper.make_model(
        helper.make_graph(nodes, "net", value, end), opset_imports=[helper.make_opsetid("", 18)]
    )
    onnx.save(model, str(tmp_path / "net.onnx"))
    with pytest.raises(UnsupportedError, match=words):
        import_onnx(tmp_path / "net.onnx")

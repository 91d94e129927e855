"""Bitwise or/xor of data, as fused classes, as functions and as plain torch code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.maxim.agreement import Around, agree
from tests.maxim.networks import captured
from torch import Tensor, nn
from torch.nn import functional

from nibblefit.engine import Engine
from nibblefit.errors import UnsupportedError
from nibblefit.ir import reference
from nibblefit.nn.words import words_or, words_xor
from nibblefit_maxim.fusing.fuser import fuse
from nibblefit_maxim.layers import Eltwise
from nibblefit_maxim.library import BitwiseOr, BitwiseXor, Or, Xor
from nibblefit_maxim.parts import MAX78000, MAX78002, PARTS, Part
from nibblefit_maxim.reading.network import read_files
from nibblefit_maxim.writing.folder import write_folder

Function = Callable[[nn.ModuleDict, Tensor], Tensor]


def _word(x: Tensor) -> Tensor:
    return (x * 128).round().clamp(-128, 127).int()


NETS: dict[str, tuple[Function, Eltwise]] = {
    "class": (lambda m, x: m["o"](m["a"](x), m["b"](x)), Eltwise.OR),
    "three": (lambda m, x: m["x"](m["a"](x), x, m["b"](x)), Eltwise.XOR),
    "function": (lambda m, x: words_xor(m["a"](x), m["b"](x)), Eltwise.XOR),
    "plain": (lambda m, x: torch.bitwise_or(_word(m["a"](x)), _word(x)) / 128, Eltwise.OR),
    "relu": (lambda m, x: torch.relu(words_or(m["a"](x), m["b"](x))), Eltwise.OR),
    "operator": (lambda m, x: m["c"](words_xor(m["a"](x), m["b"](x))), Eltwise.XOR),
    "pools": (lambda m, x: words_or(functional.max_pool2d(m["a"](x), 2),
                                    functional.max_pool2d(m["b"](x), 2)), Eltwise.OR),
    "pooled": (lambda m, x: functional.avg_pool2d(words_xor(m["a"](x), m["b"](x)), 2),
               Eltwise.XOR),
    "behind relu": (lambda m, x: m["c"](words_or(torch.relu(m["a"](x)), torch.relu(m["b"](x)))),
                    Eltwise.OR),
    "chain": (lambda m, x: words_or(words_or(m["a"](x), m["b"](x)), x), Eltwise.OR),
}  # fmt: skip


def _net(function: Function) -> nn.Module:
    torch.manual_seed(2)
    return Around(
        function, a=nn.Conv2d(4, 4, 3, padding=1), b=nn.Conv2d(4, 4, 1, bias=False),
        c=nn.Conv2d(4, 3, 3), o=Or(), x=Xor(),
    )  # fmt: skip


def _bits_are_right(done, shape: tuple[int, ...]) -> None:
    """Integers of the bitwise node are the bitwise function of its operands' integers."""
    x = np.random.default_rng(0).integers(-128, 128, (4, *shape))
    tensors = reference.run(done.graph, {done.graph.inputs[0]: x}).tensors
    for node in done.graph.nodes:
        if node.op.value in ("or", "xor"):
            function = np.bitwise_or if node.op.value == "or" else np.bitwise_xor
            expected = tensors[node.inputs[0]]
            for name in node.inputs[1:]:
                expected = function(expected, tensors[name])
            assert np.array_equal(tensors[node.output], expected)


@pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.name)
@pytest.mark.parametrize("name", NETS)
def test_bitwise_network_agrees_everywhere(name: str, part: Part, tmp_path: Path) -> None:
    """Floats, judge, engine, training and the files; bits of int8 codes, whatever stands around."""
    function, kind = NETS[name]
    shape = (4, 8, 8)
    done = agree(_net(function), shape, part=part)
    assert [x.eltwise for x in done.fused.layers if x.eltwise] == [kind]
    _bits_are_right(done, shape)
    artifact = write_folder(done.graph, part, tmp_path, np.zeros(shape, np.int64))
    back = read_files(
        tmp_path / "network.yaml", tmp_path / "checkpoint-q.pth.tar", shape, part,
        flags=artifact.notes["flags"], host=artifact.notes["host"],
    )  # fmt: skip
    x = np.random.default_rng(1).integers(-128, 128, (3, *shape))
    (expected,) = reference.run(done.graph, {done.graph.inputs[0]: x}).outputs.values()
    (found,) = Engine(back).run({back.inputs[0]: x}).outputs.values()
    assert np.array_equal(expected, found)


@pytest.mark.parametrize("count", [2, 5, 16, 17])
def test_two_to_sixteen_operands(count: int) -> None:
    """One layer takes up to sixteen; more are refused by number."""

    def function(m: nn.ModuleDict, x: Tensor) -> Tensor:
        return m["o"](*(m[f"c{index}"](x) for index in range(count)))

    torch.manual_seed(3)
    layers = {f"c{index}": nn.Conv2d(2, 4, 1) for index in range(count)}
    net = Around(function, o=BitwiseXor(), **layers)
    if count == 17:
        with pytest.raises(UnsupportedError, match=r"17 operands.*at most 16"):
            fuse(captured(net, (2, 4, 4)), MAX78000).require("MAX78000")
        return
    done = agree(net, (2, 4, 4))
    assert done.fused.layers[-1].operands == count


def test_flattened_features_are_combined() -> None:
    """Features of linear layers are data as well."""
    torch.manual_seed(4)
    net = Around(
        lambda m, x: m["h"](m["o"](m["a"](x.flatten(1)), m["b"](x.flatten(1)))),
        a=nn.Linear(32, 8), b=nn.Linear(32, 8), h=nn.Linear(8, 3), o=BitwiseOr(),
    )  # fmt: skip
    agree(net, (2, 4, 4))
    agree(net, (2, 4, 4), part=MAX78002)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda m, x: words_or(m["a"](x), x, frac=5), "words of 8 bits, 5 of them fractional"),
        (lambda m, x: words_or(m["a"](x), x, bits=4), "words of 4 bits"),
        (lambda m, x: words_or(m["a"](x), torch.full((1, 4, 8, 8), 0.5)), "constant"),
        (lambda m, x: words_or(m["a"](x), m["c"](x)), "shape"),
    ],
)
def test_words_that_are_no_data_are_refused_by_name(function: Function, words: str) -> None:
    """The refusal says which words the data memory holds."""
    torch.manual_seed(5)
    net = Around(function, a=nn.Conv2d(4, 4, 1), c=nn.Conv2d(4, 1, 1))
    with pytest.raises(UnsupportedError, match=words):
        fuse(captured(net, (4, 8, 8)), MAX78000).require("MAX78000")


def test_the_vendors_simulation_of_bits_is_refused_by_name() -> None:
    """It moves values by one half before, so its bits are not the chip's."""

    def function(m: nn.ModuleDict, x: Tensor) -> Tensor:
        a, b = ((y.add(0.5).mul(256.0).round().int()) for y in (m["a"](x), x))
        return torch.bitwise_xor(a, b).div(256.0).sub(0.5)

    net = Around(function, a=nn.Conv2d(4, 4, 1))
    with pytest.raises(UnsupportedError, match="words of 32 bits, 8 of them fractional"):
        fuse(captured(net, (4, 8, 8)), MAX78000).require("MAX78000")

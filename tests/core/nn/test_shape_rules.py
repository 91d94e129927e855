"""Shapes that are known without asking torch are those that torch gives."""

# Cases share one signature.
# ruff: noqa: N812

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from nibblefit.nn.capture.functions import function_name
from nibblefit.nn.capture.shape_rules import result_of

#: Calls that a rule knows.
KNOWN: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "relu by module": torch.nn.ReLU(),
    "relu in place": lambda x: F.relu(x, inplace=True),
    "relu_": lambda x: x.relu_(),
    "relu6 in place": torch.nn.ReLU6(inplace=True),
    "silu": F.silu,
    "hardtanh in place": lambda x: F.hardtanh(x, -1, 1, True),
    "leaky": lambda x: F.leaky_relu(x, 0.1),
    "dropout": lambda x: F.dropout(x, 0.5, False),
    "clamp": lambda x: x.clamp(0, 6),
    "clamp_": lambda x: x.clamp_(0, 6),
    "softmax": lambda x: F.softmax(x, dim=1),
    "softmax method": lambda x: x.softmax(1),
    "batch norm": lambda x: F.batch_norm(x, torch.zeros(6), torch.ones(6)),
    "prelu": lambda x: F.prelu(x, torch.rand(6)),
    "sum": lambda x: x + x,
    "sum with a number": lambda x: x + 2,
    "number first": lambda x: 2 * x,
    "broadcast": lambda x: x * torch.rand(6, 1, 1),
    "grown": lambda x: torch.rand(2, 1, 6, 1, 1) - x,
    "sum in place": lambda x: x.__iadd__(torch.rand(1, 6, 1, 1)),
    "added in place": lambda x: x.add_(1),
    "quotient": lambda x: x / 3,
    "linear": lambda x: F.linear(x, torch.rand(4, 11)),
    "linear with bias": lambda x: F.linear(x, torch.rand(4, 11), torch.rand(4)),
    "max pool": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max pool by module": torch.nn.MaxPool2d((3, 2), dilation=2),
    "avg pool": lambda x: F.avg_pool2d(x, 2),
    "avg pool with stride": lambda x: F.avg_pool2d(x, (3, 2), stride=(1, 2), padding=1),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, 1),
    "adaptive by pairs": lambda x: F.adaptive_max_pool2d(x, (3, 4)),
    "adaptive on one axis": lambda x: F.adaptive_avg_pool2d(x, (None, 1)),
    "cat": lambda x: torch.cat([x, x, torch.rand(2, 1, 9, 11)], 1),
    "cat on the last axis": lambda x: torch.cat((x, x), dim=-1),
    "mean": lambda x: x.mean((2, 3)),
    "mean kept": lambda x: torch.mean(x, dim=-1, keepdim=True),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2),
    "interpolate by pairs": lambda x: F.interpolate(x, scale_factor=(1.5, 2.3), mode="bilinear"),
    "interpolate to a size": lambda x: F.interpolate(x, size=(4, 20)),
}
#: Calls that none may claim to know.
UNKNOWN: dict[str, Callable[[Tensor], object]] = {
    "ceil": lambda x: F.max_pool2d(x, 2, ceil_mode=True),
    "average with ceil": lambda x: F.avg_pool2d(x, 2, ceil_mode=True),
    "whole mean": lambda x: x.mean(),
    "another width": lambda x: torch.add(x, 1, out=torch.empty(2, 6, 9, 11)),
    "rounded quotient": lambda x: torch.div(x, 2, rounding_mode="floor"),
    "complex": lambda x: x + torch.ones(1, dtype=torch.complex64),
    "fitting nowhere": lambda x: x + torch.ones(5),
    "wrong features": lambda x: F.linear(x, torch.rand(4, 5)),
    "wrong bias": lambda x: F.linear(x, torch.rand(4, 11), torch.rand(3)),
    "too small": lambda x: F.max_pool2d(x, 20),
    "constant grown in place": lambda x: torch.zeros(2, 6, 9, 11).add_(x),
    "other": torch.exp,
}


class Rules(TorchFunctionMode):
    """Collects what the rules say about every call with a meta tensor; computes none."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[tuple[int, ...], bool] | None] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        found = list(args[0]) if args and isinstance(args[0], list | tuple) else list(args)
        if not any(isinstance(t, Tensor) and t.is_meta for t in found):
            return func(*args, **(kwargs or {}))
        self.found.append(result_of(func, function_name(func), args, kwargs or {}))
        return torch.empty(0)


def ruled(call: Callable[[Tensor], object]) -> tuple[tuple[int, ...], bool] | None:
    """Return what the rules say about the one call that a function makes."""
    with Rules() as rules:
        call(torch.empty(2, 6, 9, 11, dtype=torch.float64, device="meta"))
    (found,) = rules.found
    return found


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_shape_is_that_of_torch(name: str) -> None:
    """And what is changed in place is the first argument."""
    x = torch.rand(2, 6, 9, 11)
    result = KNOWN[name](x)
    is_changed = x._version > 0
    assert ruled(KNOWN[name]) == (tuple(result.shape), is_changed)
    assert result is x or not is_changed


@pytest.mark.parametrize("name", UNKNOWN)
def test_torch_is_asked_about_all_others(name: str) -> None:
    """Calls that fail, other types, and windows that overhang."""
    assert ruled(UNKNOWN[name]) is None


def test_common_networks_are_captured_without_symbolic_machinery() -> None:
    """The first capture of a process loads none of the modules behind torch's meta functions."""
    code = """if True:
        import sys, torch
        from torch import nn
        from nibblefit.nn.capture import capture
        capture(nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU6(inplace=True),
            nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, groups=4), nn.Hardswish(), nn.Dropout(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2), nn.Softmax(1)), (3, 32, 32))
        assert "sympy" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)

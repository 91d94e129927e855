"""Batch norm and dropout."""

# Handlers have the argument names and the argument order of torch.
# ruff: noqa: A002, ARG001, PLR0917

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nibblefit.ir.ops import Op
from nibblefit.nn.capture.call import Call, Handler
from nibblefit.nn.problems import Refused

#: Share of the new batch in the running statistics, torch's default.
DEFAULT_MOMENTUM = 0.1


def _batch_norm(
    call: Call, input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
    momentum: float | None = DEFAULT_MOMENTUM, eps: float = 1e-5,
) -> str:  # fmt: skip
    if running_mean is None or running_var is None or training:
        raise Refused(
            "it normalises by the statistics of the batch at hand, also in evaluation",
            "use track_running_stats=True",
        )
    x = call.activation(input)
    gamma = call.weight(
        torch.ones_like(running_mean) if weight is None else weight, "weight",
        fixed=True if weight is None else None,
    )  # fmt: skip
    beta = call.weight(
        torch.zeros_like(running_mean) if bias is None else bias, "bias",
        fixed=True if bias is None else None,
    )  # fmt: skip
    statistics = (
        call.weight(running_mean, "running_mean", fixed=False),
        call.weight(running_var, "running_var", fixed=False),
    )
    kept: dict[str, Any] = (
        {} if momentum in {None, DEFAULT_MOMENTUM} else {"momentum": float(momentum or 0.0)}
    )
    return call.add(Op.BATCH_NORM, [x, gamma, beta, *statistics], epsilon=float(eps), **kept)


def _dropout(
    call: Call, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> str:  # fmt: skip
    _refuse_lasting(training)
    return call.add(Op.DROPOUT, [call.activation(input)], p=float(p))


def _feature_dropout(
    call: Call, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> str:  # fmt: skip
    _refuse_lasting(training)
    return call.add(Op.DROPOUT, [call.activation(input)], p=float(p), whole_channels=True)


def _refuse_lasting(training: bool) -> None:
    if training:
        raise Refused(
            "it drops values also in evaluation", "pass training=self.training, or use nn.Dropout"
        )


HANDLERS: Mapping[str, Handler] = {
    "batch_norm": _batch_norm,
    "dropout": _dropout,
    "feature_dropout": _feature_dropout,
}

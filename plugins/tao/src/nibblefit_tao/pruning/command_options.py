"""Options by which ``tao look`` and ``tao prune`` say which filters go.

Names and defaults are TAO's. Every default is None: a run's recipe may say what holds then, and
options that contradict each other can be told apart from those left alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from nibblefit.errors import InputError
from nibblefit_tao.pruning.settings import Goal, PruneSettings

Weights = Annotated[
    Path | None, typer.Option("--weights", help="State dict or safetensors of the factory.")
]
InputShape = Annotated[
    str, typer.Option("--input-shape", help="One input, channels first: 3,300,300.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_Threshold = Annotated[
    float | None,
    typer.Option("--threshold", "-pth", help="Filters scoring above it stay; TAO's is 0.1."),
]
_Ratio = Annotated[
    float | None,
    typer.Option("--ratio", help="Solve for the threshold that leaves this share of parameters."),
]
_Macs = Annotated[
    int | None, typer.Option("--macs", help="Solve for as many multiply-accumulates at most.")
]
_WeightBytes = Annotated[
    int | None, typer.Option("--weight-bytes", help="Solve for as many bytes of float32 weights.")
]
_Normalizer = Annotated[
    str | None, typer.Option("--normalizer", "-n", help="max (TAO's default), L2 or off.")
]
_Criterion = Annotated[
    str | None,
    typer.Option("--equalization-criterion", "--criterion", "-eq",
                 help="union (TAO's default), intersection, arithmetic_mean or geometric_mean."),
]  # fmt: skip
_Granularity = Annotated[
    int | None,
    typer.Option("--granularity", "-pg", min=1, help="Kept filters are multiples of it; TAO's: 8."),
]
_MinFilters = Annotated[
    int | None,
    typer.Option("--min-num-filters", "-nf", min=1, help="Every layer keeps as many; TAO's: 16."),
]
_Excluded = Annotated[
    list[str] | None,
    typer.Option("--exclude", "-el", help="Layer or glob that stays whole; may be repeated."),
]
_LayerThresholds = Annotated[
    list[str] | None,
    typer.Option("--layer-threshold", help="Layer or glob with a threshold of its own, as in "
                 "'block_4*=0.3'; may be repeated."),
]  # fmt: skip
_BatchNorm = Annotated[
    bool | None,
    typer.Option("--score-batch-norm/--no-score-batch-norm",
                 help="Score filters as batch norm scales them; TAO looks at kernels alone."),
]  # fmt: skip
_Transposed = Annotated[
    bool | None,
    typer.Option("--prune-transposed/--no-prune-transposed",
                 help="Prune filters of transposed convolutions too; TAO never does."),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """What a command line says about which filters go.

    Attributes:
        changes: Field of `PruneSettings` → its value, for the options that were given.
        goal: What is asked for in place of a threshold.
    """

    changes: Mapping[str, Any]
    goal: Goal

    @property
    def is_given(self) -> bool:
        """Whether any option was given."""
        return bool(self.changes) or self.goal.is_set

    @property
    def asks_for_a_threshold(self) -> bool:
        """Whether a threshold is given or to be solved for."""
        return "threshold" in self.changes or self.goal.is_set

    def settings(self, base: PruneSettings) -> PruneSettings:
        """Return settings with the options that were given in place; raises InputError."""
        return replace(base, **self.changes)


def rule_of(
    *,
    threshold: _Threshold = None,
    ratio: _Ratio = None,
    macs: _Macs = None,
    weight_bytes: _WeightBytes = None,
    normalizer: _Normalizer = None,
    criterion: _Criterion = None,
    granularity: _Granularity = None,
    min_filters: _MinFilters = None,
    excluded: _Excluded = None,
    layer_threshold: _LayerThresholds = None,
    batch_norm: _BatchNorm = None,
    transposed: _Transposed = None,
) -> Rule:
    """Return what the options say.

    Raises:
        InputError: Options contradict each other, or one cannot be read.
    """
    goal = Goal(ratio, macs, weight_bytes)
    if goal.is_set and threshold is not None:
        raise InputError("--threshold contradicts the size that is asked for",
                         hint="give a threshold, or what it is to be solved for")  # fmt: skip
    own = dict(_own_threshold(text) for text in layer_threshold or ())
    given = {
        "threshold": threshold, "normalizer": normalizer, "criterion": criterion,
        "granularity": granularity, "min_filters": min_filters, "excluded": tuple(excluded or ()),
        "thresholds": own, "batch_norm": batch_norm, "transposed": transposed,
    }  # fmt: skip
    return Rule({k: v for k, v in given.items() if v is not None and v not in ((), {})}, goal)


def takes_rule(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with the options of `rule_of` in place of its parameter ``rule``."""
    own = inspect.signature(command, eval_str=True).parameters
    shared = inspect.signature(rule_of, eval_str=True).parameters

    def called(**given: Any) -> None:
        rule = rule_of(**{name: given.pop(name) for name in shared})
        command(rule=rule, **given)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name in own
        for parameter in (shared.values() if name == "rule" else (own[name],))
    ]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in parameters}
    return called


def _own_threshold(text: str) -> tuple[str, float]:
    name, equals, value = text.rpartition("=")
    try:
        if name and equals:
            return name, float(value)
    except ValueError:
        pass
    raise InputError(f"--layer-threshold {text[:60]} names no layer and threshold",
                     hint="write it as 'block_4*=0.3'")  # fmt: skip

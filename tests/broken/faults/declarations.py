"""Toy targets whose declaration is at fault: name, version, hooks, options, plan, operators."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nibblefit_toychip import ToyChip
from pydantic import BaseModel, ConfigDict

from nibblefit.hooks import ApiVersion, hookimpl
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.plan import Gate, Plan, Stage, Step
from nibblefit.run import Run


class NewerContract(ToyChip):
    """Needs a contract newer than the host's."""

    info = replace(ToyChip.info, api=ApiVersion(1, 99))


class MisspeltHook(ToyChip):
    """Marks a method that is no hook."""

    @hookimpl
    def quantise(self, run: Run, model: Model) -> QuantizedGraph:
        return super().quantize(run, model)


class UnreadNowhere(ToyChip):
    """Says that it does not read a key that no recipe has."""

    info = replace(ToyChip.info, unread={"quantise.method": "leave it out"})


class IgnoresSilently(ToyChip):
    """Does not say that its ranges are not those the recipe asks for."""

    info = replace(ToyChip.info, unread={})


class PrunesUndeclared(ToyChip):
    """Says that it does not prune, and takes core's plan, which does."""

    info = replace(ToyChip.info, unread={**ToyChip.info.unread, "prune": "leave it out"})


class BareOptions(BaseModel):
    """An option nobody explains."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    calibration: int = 16


class SilentOptions(ToyChip):
    """Options without descriptions."""

    info = replace(ToyChip.info, options=BareOptions)


class BrokenPlan(ToyChip):
    """Its plan refers to a step that does not exist."""

    @hookimpl
    def plan(self, recipe: Any) -> Plan:
        return (Step(Stage.PREPARE, "prepare"), Gate("floor", "nowhere", "top1", at_least=0.5))


class TooMuchDeclared(ToyChip):
    """Declares an operator that its quantizer does not know."""

    info = replace(
        ToyChip.info,
        numerics=replace(
            ToyChip.info.numerics, operators=ToyChip.info.numerics.operators | {Op.ABS}
        ),
    )

    def problems(self, graph: Graph) -> list[Any]:
        return [p for p in super().problems(graph) if graph.node(p.where).op is not Op.ABS]

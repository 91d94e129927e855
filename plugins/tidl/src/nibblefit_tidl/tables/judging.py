"""Judges every layer of a network by the operator tables of a device and release."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.numerics import Numerics
from nibblefit.quantization.fold import fold
from nibblefit.quantization.support import Support, Verdict, support
from nibblefit.quantization.units import chains
from nibblefit_tidl.tables.checks import CHECKS
from nibblefit_tidl.tables.reading import Generation, operator_table, rewrites
from nibblefit_tidl.tables.schema import Limit, Release, Severity
from nibblefit_tidl.tables.site import Site

_LIST = "use an operator of the table: nibblefit tidl operators"


def _eight(_: Node) -> int:
    return 8


@dataclass(frozen=True, slots=True)
class Setting:
    """What a network is judged for.

    Attributes:
        generation: Which tables.
        device: Name of the device.
        numerics: Arithmetic of the target; operators that it lacks are refused whatever the table
            says.
        release: Release of the tools.
        bits_of: Node → width of its output.
    """

    generation: Generation
    device: str
    numerics: Numerics
    release: Release = "11.0"
    bits_of: Callable[[Node], int] = _eight

    def width(self, layer: Iterable[Node]) -> int:
        """Return the bits of what a layer writes; any of its nodes may have been named for it."""
        return max(self.bits_of(node) for node in layer)


@dataclass(frozen=True, slots=True)
class Broken:
    """One limit that a layer breaks, and how."""

    limit: Limit
    found: str

    @property
    def reason(self) -> str:
        """The rule and what was found."""
        return f"{self.limit.reason}; found {self.found}"

    @property
    def remedy(self) -> str:
        """TI's rewrite by name and effect, else what to do by hand."""
        name = self.limit.rewrite
        rewrite = f"TI's rewrite {name}: {rewrites()[name]}" if name else ""
        return "; ".join(filter(None, (rewrite, self.limit.remedy)))


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of one layer.

    Attributes:
        node: The node of the network as it was given.
        verdict: Of the arithmetic: runs, joins another layer, or is refused.
        runs_as: The layer it becomes or joins.
        layer: What TI calls that layer.
        broken: Limits of the tables that it breaks.
        refusal: Reason and remedy where it is refused, the first one; empty otherwise.
    """

    node: Node
    verdict: Verdict
    runs_as: str
    layer: str
    broken: tuple[Broken, ...] = ()
    refusal: tuple[str, str] = ("", "")

    @property
    def is_refused(self) -> bool:
        """Whether nibblefit refuses it."""
        return bool(self.refusal[0])

    @property
    def is_accelerated(self) -> bool:
        """Whether the tools give it to the accelerator (a layer that joins another goes along)."""
        left = any(b.limit.verdict is Severity.HOST for b in self.broken)
        return not self.is_refused and not left

    def with_severity(self, *severities: Severity) -> tuple[Broken, ...]:
        """Return the broken limits that have one of these consequences."""
        return tuple(b for b in self.broken if b.limit.verdict in severities)


def judge(graph: Graph, setting: Setting) -> tuple[Judgement, ...]:
    """Return one judgement per node of a float graph, in order; nothing is raised."""
    folded = fold(graph)
    sites = {
        node.name: Site(folded, node, setting.width(layer))
        for layer in chains(folded, setting.numerics.fusions)
        for node in layer
    }
    return tuple(
        _judgement(found, sites.get(found.node.name), setting)
        for found in support(graph, setting.numerics)
    )


def refuse(judgements: Iterable[Judgement], target: str, device: str) -> None:
    """Raise UnsupportedError with every refused layer, its reason and its remedy."""
    refused = [one for one in judgements if one.is_refused]
    if not refused:
        return
    lines = "".join(
        f"\n  • layer '{one.node.name}' ({one.node.op.value}): {one.refusal[0]}"
        f"\n    → {one.refusal[1]}"
        for one in refused
    )
    count = "1 layer" if len(refused) == 1 else f"{len(refused)} layers"
    raise UnsupportedError(
        f"target '{target}' cannot run {count} of this network on {device}{lines}"
    )


def _judgement(found: Support, site: Site | None, setting: Setting) -> Judgement:
    """Return the judgement on one node; its site is None where it went into another layer."""
    if site is None or found.verdict is Verdict.FOLDED:
        return Judgement(found.node, found.verdict, found.runs_as, "")
    kept = site.node
    rows = operator_table(setting.generation).rows_of(kept.op.value)
    broken = tuple(_broken(site, (limit for row in rows for limit in row.limits), setting))
    refusing = [b for b in broken if b.limit.verdict is Severity.REFUSED]
    refusal = ("", "")
    if refusing:
        refusal = (refusing[0].reason, refusing[0].remedy)
    elif found.verdict is Verdict.REFUSED:
        refusal = (found.reason, found.remedy)
    elif not rows:
        refusal = (f"TI's table has no {kept.op.value}", _LIST)
    # An operator that is computed in floating point here runs on the device, too: what the Arm core
    # gets is said by the tables alone.
    verdict = Verdict.REFUSED if refusal[0] else Verdict.RUNS
    return Judgement(found.node, verdict, found.runs_as, rows[0].layer if rows else "", broken,
                     refusal)  # fmt: skip


def _broken(site: Site, limits: Iterable[Limit], setting: Setting) -> Iterable[Broken]:
    if not site.variables:
        return  # computed from constants alone: nothing for a device to run
    for limit in limits:
        if limit.holds_for(setting.device, setting.release):
            found = CHECKS[limit.check](site, **limit.settings)
            if found:
                yield Broken(limit, found)

"""Family ``unread``: what a target says it does not read is what it does not read."""

from __future__ import annotations

from dataclasses import replace

from nibblefit.conformance.bench import Bench
from nibblefit.conformance.records import CheckFailure, CheckSkip, check
from nibblefit.errors import NibblefitError
from nibblefit.hooks import ApiVersion
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.store import digest
from nibblefit.recipe import PruneSection, QuantizeSection

#: Contract version that `TargetInfo.unread` came with.
_SINCE = ApiVersion(1, 2)
_WHY = "a recipe key without effect misleads: it must be refused, not silently ignored"
#: Networks that are quantized once more; the first ones have layers with weights.
_CASES = 4
#: Half of the values are cut off, so that whoever reads it comes to other integers.
_OTHER_RANGES = QuantizeSection(method="percentile", percentile=50.0)


@check(
    "unread.quantize",
    why=_WHY,
    how="list 'quantize.method' in info.unread if quantize does not read it, and only then",
    needs=("stages.quantize",),
    since=str(_SINCE),
)
def quantize(bench: Bench) -> None:
    """Another `quantize.method` gives other integers, unless it is declared unread."""
    _judge(bench, "quantize.method", "quantize", reads=_reads_method(bench))


@check(
    "unread.prune",
    why=_WHY,
    how="list 'prune' in info.unread if the plan does not follow [prune], and only then; "
    "`nibblefit.defaults.plan.pruning` returns the steps for it",
    needs=("contract.plan",),
    since=str(_SINCE),
)
def prune(bench: Bench) -> None:
    """`[prune]` changes the plan, unless it is declared unread."""
    pruned = bench.recipe.model_copy(update={"prune": PruneSection(sparsity=0.5)})
    changes = bench.hooks.plan(pruned) != bench.hooks.plan(bench.recipe)
    _judge(bench, "prune.sparsity", "prune", reads=changes)


def _judge(bench: Bench, key: str, section: str, *, reads: bool) -> None:
    if bench.info.api < _SINCE:
        raise CheckSkip(f"written for API {bench.info.api}, which has no info.unread")
    declared = not {key, section}.isdisjoint(bench.info.unread)
    if reads and declared:
        raise CheckFailure(f"info.unread names {key}, but changing it changes the result")
    if not (reads or declared):
        raise CheckFailure(f"{key} changes nothing, and info.unread does not name it")


def _reads_method(bench: Bench) -> bool:
    """Return whether other ranges give other integers, or a refusal, in any of a few cases."""
    recipe = bench.recipe.model_copy(update={"quantize": _OTHER_RANGES})
    for case in bench.cases[:_CASES]:
        try:
            other = bench.fresh_quantized(case, bench.model(case), recipe)
        except NibblefitError:
            return True
        # Facts beside the integers may repeat the recipe.
        pair = (other, bench.quantized(case))
        if len({digest(replace(graph, metadata=frozen_mapping())) for graph in pair}) > 1:
            return True
    return False

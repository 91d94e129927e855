"""Family ``errors``: what the target cannot do is refused early, by name, with a remedy."""

from __future__ import annotations

from nibblefit.conformance.bench import Bench
from nibblefit.conformance.cases import unsupported_case
from nibblefit.conformance.records import CheckFailure, CheckSkip, check
from nibblefit.errors import UnsupportedError
from nibblefit.results import Status


@check(
    "errors.unsupported",
    why="an unsupported layer must be known before hours of training, not after",
    how="raise UnsupportedError in prepare, naming the layer, with a hint",
    needs=("stages.prepare",),
)
def unsupported(bench: Bench) -> None:
    """A network with an undeclared operator is refused by the name of its layer."""
    case = unsupported_case(bench.numerics.operators | bench.numerics.host_operators)
    if case is None:
        raise CheckSkip("the target declares every operator the kit could refuse")
    layer = case.graph.nodes[-3].name if case.graph.nodes[-2].op == "flatten" else ""
    try:
        bench.fresh_model(case)
    except UnsupportedError as error:
        if layer and layer not in str(error):
            raise CheckFailure(f"the refusal does not name layer '{layer}'") from error
        if "→" not in str(error) and not error.hint:
            raise CheckFailure("the refusal has no remedy") from error
        return
    raise CheckFailure(f"a network with '{layer}' was accepted, though it is not declared")


@check(
    "errors.inspect",
    why="inspect is asked about any network and must always answer",
    how="return a failed Finding for an unsupported layer; never raise",
    needs=("stages.prepare",),
)
def inspect(bench: Bench) -> None:
    """Inspecting a good network passes; a bad one has a failed finding and does not raise."""
    good = bench.hooks.inspect(bench.cases[0].graph, bench.part, bench.recipe)
    if good.failed:
        raise CheckFailure(f"network 'plain' is reported unsupported: {good.failed[0].message}")
    case = unsupported_case(bench.numerics.operators | bench.numerics.host_operators)
    if case is None:
        return
    report = bench.hooks.inspect(case.graph, bench.part, bench.recipe)
    bad = [f for f in report.findings if f.status is Status.FAILED]
    if not bad:
        raise CheckFailure(f"'{case.name}' has no failed finding")
    if not bad[0].hint:
        raise CheckFailure(f"'{case.name}': the failed finding has no hint")

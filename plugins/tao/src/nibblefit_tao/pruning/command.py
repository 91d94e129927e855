"""``nibblefit tao prune``: prune a network file or a factory, without a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nibblefit.errors import InputError
from nibblefit_tao.pruning import command_options as options

if TYPE_CHECKING:
    from nibblefit.ir.graph import Graph
    from nibblefit_tao.pruning.module import Pruned
    from nibblefit_tao.pruning.settings import Goal, PruneSettings


@options.takes_rule
def prune(
    model: Annotated[
        str,
        typer.Argument(help="'net.onnx', 'path/file.py:factory' or 'package.module:factory'."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")],
    *,
    weights: options.Weights = None,
    input_shape: options.InputShape = "",
    rule: options.Rule,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="Saved plan.json: keep the filters it names.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Prune a network by TAO's rule and write the smaller one.

    Options have TAO's names and defaults. The folder gets model.onnx, weights.npz and plan.json;
    the pruned network must be trained again before it is of any use.

    **Example:** `nibblefit tao prune examples/networks/residual.py:build --input-shape 1,8,8
    --ratio 0.5 -pg 4 -nf 4 --out pruned`

    **Next:** retrain pruned/model.onnx by a recipe with target.prune = false.
    """
    from nibblefit_tao.pruning.files import load_network, write_pruned
    from nibblefit_tao.pruning.settings import PruneSettings

    if plan is not None and rule.is_given:
        raise InputError("--plan says already which filters stay",
                         hint="leave out all options that choose filters")  # fmt: skip
    settings = rule.settings(PruneSettings())
    graph = load_network(model, weights, input_shape)
    pruned, warnings = (
        _by_rule(graph, settings, rule.goal) if plan is None else _by_plan(graph, plan)
    )
    _tell(pruned, warnings, write_pruned(pruned, out), as_json=as_json)


def _by_rule(graph: Graph, settings: PruneSettings, goal: Goal) -> tuple[Pruned, list[str]]:
    from nibblefit.pruning.cutting import cut
    from nibblefit_tao.pruning.decisions import decide
    from nibblefit_tao.pruning.look import look_at, threshold_for, warnings_of
    from nibblefit_tao.pruning.module import Pruned
    from nibblefit_tao.pruning.plan import plan_of
    from nibblefit_tao.sizes import size_of

    look = look_at(graph, settings)
    threshold = threshold_for(look, settings.threshold, goal)
    what = decide(look.coupling, look.rankings, threshold)
    small = cut(what)
    pruned = Pruned(small, plan_of(what, threshold), size_of(graph), size_of(small))
    return pruned, warnings_of(look, threshold)


def _by_plan(graph: Graph, path: Path) -> tuple[Pruned, list[str]]:
    from nibblefit_tao.pruning.module import Pruned
    from nibblefit_tao.pruning.plan import read_plan
    from nibblefit_tao.sizes import size_of

    plan = read_plan(path)
    small = plan.apply(graph)
    return Pruned(small, plan, size_of(graph), size_of(small)), []


def _tell(pruned: Pruned, warnings: list[str], files: list[Path], *, as_json: bool) -> None:
    from nibblefit.cli.output import write_json, write_line, write_table
    from nibblefit_tao.sizes import as_json as sizes
    from nibblefit_tao.sizes import size_table

    if as_json:
        write_json({
            "threshold": pruned.plan.threshold, "ratio": pruned.ratio,
            **sizes(pruned.after), "before": sizes(pruned.before),
            "warnings": warnings, "files": [str(path) for path in files],
        })  # fmt: skip
        return
    write_table(size_table(pruned.after, pruned.before))
    for warning in warnings:
        write_line(f"warning: {warning}")
    write_line(f"threshold {pruned.plan.threshold:.6g}")
    for path in files:
        write_line(str(path))

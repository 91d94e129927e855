"""``nibblefit tao look``: see before cutting, in a run or in any network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nibblefit.errors import InputError
from nibblefit_tao.pruning import command_options as options

if TYPE_CHECKING:
    from nibblefit.ir.graph import Graph
    from nibblefit_tao.pruning.look import Look
    from nibblefit_tao.pruning.settings import PruneSettings


_Source = Annotated[
    str,
    typer.Argument(
        help="Run folder, or a network: 'net.onnx', 'path/file.py:factory'.", metavar="SOURCE"
    ),
]


@options.takes_rule
def look(
    source: _Source,
    *,
    step: Annotated[
        str | None, typer.Option("--step", help="Step of a run whose model is looked at; train.")
    ] = None,
    weights: options.Weights = None,
    input_shape: options.InputShape = "",
    rule: options.Rule,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for look.json and look.png.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """See before cutting: norms of all filters, and what each threshold would leave.

    Filters whose normalized norm is above the threshold stay. Norms of a freshly trained network
    often lie within a factor of two of each other: then small thresholds remove nothing and
    slightly larger ones nearly all. The table tells which. What is not given holds as in the
    run's recipe.

    **Example:** `nibblefit tao look runs/digits --ratio 0.25 --out look`

    **Next:** set target.threshold or target.ratio in the recipe.
    """
    from nibblefit_tao.pruning.look import look_at, threshold_for

    graph, base = _network(source, step, weights, input_shape)
    settings = rule.settings(base)
    found = look_at(graph, settings)
    threshold = None
    if rule.asks_for_a_threshold:
        threshold = threshold_for(found, settings.threshold, rule.goal)
    _show(found, threshold, out, as_json=as_json)


def _network(source: str, step: str | None, weights: Path | None,
             input_shape: str) -> tuple[Graph, PruneSettings]:  # fmt: skip
    """Return the network to look at, and what holds where an option is left alone."""
    from nibblefit import open_run
    from nibblefit_tao.options import TaoOptions
    from nibblefit_tao.pruning.files import load_network
    from nibblefit_tao.pruning.settings import PruneSettings

    is_network = ":" in source or Path(source).suffix.lower() == ".onnx"
    if is_network and not Path(source).is_dir():
        if step is not None:
            raise InputError("--step names a step of a run folder", hint="leave it out")
        return load_network(source, weights, input_shape), PruneSettings()
    if weights is not None or input_shape:
        raise InputError("--weights and --input-shape are for networks; a run knows its own",
                         hint="leave them out")  # fmt: skip
    run = open_run(Path(source))
    target = run.recipe.target
    given = (target.model_extra or {}) if target.name == "tao" else {}
    return run.model(step or "train").graph, TaoOptions(**given).prune_settings()


def _show(found: Look, threshold: float | None, out: Path | None, *, as_json: bool) -> None:
    from nibblefit.cli.output import write_json, write_line, write_table
    from nibblefit_tao.looking.summary import as_json as json_of
    from nibblefit_tao.looking.summary import curve_table, groups_table, write_look
    from nibblefit_tao.pruning.curve import curve
    from nibblefit_tao.pruning.look import warnings_of

    if out is not None:
        write_look(found, threshold, out)
    if as_json:
        write_json(json_of(found, threshold))
        return
    write_table(groups_table(found))
    write_table(curve_table(found))
    if threshold is not None:
        left = curve(found.coupling, found.rankings, [threshold])
        write_line(f"threshold {threshold:.6g} leaves {left.ratios[0]:.1%} of the parameters, "
                   f"{1 - left.ratios[0]:.1%} are gone")  # fmt: skip
        for warning in warnings_of(found, threshold):
            write_line(f"warning: {warning}")
    if out is not None:
        write_line(f"drawing: {out / 'look.png'}")

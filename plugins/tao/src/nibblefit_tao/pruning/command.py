"""``nibblefit tao prune``: prune a network file or a factory, without a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nibblefit.errors import InputError

if TYPE_CHECKING:
    from nibblefit_tao.pruning.module import Pruned


def prune(
    model: Annotated[
        str,
        typer.Argument(help="'net.onnx', 'path/file.py:factory' or 'package.module:factory'."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")],
    *,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="State dict or safetensors of the factory.")
    ] = None,
    input_shape: Annotated[
        str, typer.Option("--input-shape", help="One input, channels first: 3,300,300.")
    ] = "",
    threshold: Annotated[
        float, typer.Option("--threshold", "-pth", help="Filters scoring above it stay.")
    ] = 0.1,
    ratio: Annotated[
        float | None, typer.Option("--ratio", help="Solve for the threshold of this ratio.")
    ] = None,
    normalizer: Annotated[str, typer.Option("--normalizer", "-n", help="max, L2 or off.")] = "max",
    criterion: Annotated[
        str,
        typer.Option("--equalization-criterion", "-eq",
                     help="union, intersection, arithmetic_mean or geometric_mean."),
    ] = "union",
    granularity: Annotated[
        int, typer.Option("--granularity", "-pg", min=1, help="Kept filters are multiples of it.")
    ] = 8,
    min_filters: Annotated[
        int, typer.Option("--min-num-filters", "-nf", min=1, help="Every layer keeps as many.")
    ] = 16,
    excluded: Annotated[
        list[str] | None,
        typer.Option("--exclude", "-el", help="Layer or glob that stays whole; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """Prune a network by TAO's rule and write the smaller one.

    Options have TAO's names and defaults. The folder gets model.onnx, weights.npz and plan.json;
    the pruned network must be trained again before it is of any use.

    **Example:** `nibblefit tao prune examples/networks/residual.py:build --input-shape 1,8,8
    --ratio 0.5 -pg 4 -nf 4 --out pruned`

    **Next:** retrain pruned/model.onnx by a recipe with target.prune = false.
    """
    from nibblefit_tao.pruning.files import load_network, write_pruned
    from nibblefit_tao.pruning.module import prune_graph
    from nibblefit_tao.pruning.settings import Criterion, Normalizer, PruneSettings

    try:
        settings = PruneSettings(Normalizer(normalizer), Criterion(criterion), granularity,
                                 threshold, min_filters, tuple(excluded or ()))  # fmt: skip
    except ValueError as error:
        raise InputError(str(error), hint="see nibblefit tao prune --help") from None
    found = prune_graph(load_network(model, weights, input_shape), settings, ratio=ratio)
    _tell(found, write_pruned(found, out), as_json=as_json)


def _tell(found: Pruned, files: list[Path], *, as_json: bool) -> None:
    from nibblefit.cli.output import write_json, write_line
    from nibblefit_tao.sizes import ratio_in_words

    if as_json:
        write_json({
            "threshold": found.plan.threshold, "ratio": found.ratio,
            "parameters": found.after.parameters, "macs": found.after.macs,
            "files": [str(path) for path in files],
        })  # fmt: skip
        return
    words = ratio_in_words(found.before, found.after)
    write_line(f"threshold {found.plan.threshold:.6g}, {words}")
    for path in files:
        write_line(str(path))

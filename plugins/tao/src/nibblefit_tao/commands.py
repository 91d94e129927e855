"""``nibblefit tao …``: the commands of this target. They import what they need when they run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nibblefit.errors import InputError
from nibblefit_tao.pruning.command import prune

if TYPE_CHECKING:
    from nibblefit.models import Model
    from nibblefit_tao.options import TaoOptions

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_commands(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("look")(look)
    app.command("prune")(prune)
    app.command("spec")(spec)
    app.command("spec-back")(spec_back)
    app.command("cache")(cache)
    app.command("best")(best)
    app.command("log")(log)


def look(  # noqa: PLR0917 - options of a command
    run: Annotated[Path, typer.Argument(help="Run folder.", metavar="RUN")],
    step: Annotated[str, typer.Option("--step", help="Step whose model is looked at.")] = "train",
    normalizer: Annotated[str, typer.Option("--normalizer", help="max, L2 or off.")] = "",
    criterion: Annotated[
        str, typer.Option("--criterion", help="union, intersection, arithmetic_mean or "
                          "geometric_mean.")
    ] = "",
    ratio: Annotated[
        float | None, typer.Option("--ratio", help="Solve for the threshold of this ratio.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for look.json and look.png.")
    ] = None,
    as_json: _Json = False,
) -> None:  # fmt: skip
    """See before cutting: norms of all filters, and what each threshold would leave.

    Filters whose normalized norm is above the threshold stay. Norms of a freshly trained network
    often lie within a factor of two of each other: then small thresholds remove nothing and
    slightly larger ones nearly all. The table tells which.

    **Example:** `nibblefit tao look runs/digits --ratio 0.25 --out look`

    **Next:** set target.threshold or target.ratio in the recipe.
    """
    from nibblefit.cli.output import write_json, write_line, write_table
    from nibblefit_tao.looking.summary import as_json as json_of
    from nibblefit_tao.looking.summary import curve_table, groups_table, write_look
    from nibblefit_tao.pruning.curve import solve
    from nibblefit_tao.pruning.stage import look_at

    found = look_at(*_trained(run, step, normalizer, criterion))
    threshold = None if ratio is None else solve(found.coupling, found.rankings, ratio=ratio)
    if out is not None:
        write_look(found, threshold, out)
    if as_json:
        write_json(json_of(found, threshold))
        return
    write_table(groups_table(found))
    write_table(curve_table(found))
    if threshold is not None:
        write_line(f"threshold {threshold:.6g} leaves at most {ratio:g} of the parameters")
    if out is not None:
        write_line(f"drawing: {out / 'look.png'}")


def _trained(run: Path, step: str, normalizer: str, criterion: str) -> tuple[Model, TaoOptions]:
    """Return a run's model and its options, some of them replaced."""
    from nibblefit import open_run
    from nibblefit_tao.options import TaoOptions

    opened = open_run(run)
    changes = {"normalizer": normalizer, "equalization_criterion": criterion}
    given = (opened.recipe.target.model_extra or {}) if opened.recipe.target.name == "tao" else {}
    try:
        options = TaoOptions(**{**given, **{k: v for k, v in changes.items() if v}})
    except ValueError as error:
        raise InputError(f"--normalizer or --criterion: {error}") from None
    return opened.model(step), options


def spec(
    file: Annotated[Path, typer.Argument(help="Experiment spec of TAO, text or YAML.")],
    *,
    retrain: Annotated[
        Path | None, typer.Option("--retrain", help="Spec of the retraining after pruning.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Recipe to write.")] = None,
    as_json: _Json = False,
) -> None:
    """Check an experiment spec of TAO and turn it into a recipe.

    Reads specs as text and as YAML; unknown and misspelt fields are told with their line. SSD,
    DetectNet_v2 and classification become recipes; what has no counterpart stands above them as
    comments.

    **Example:** `nibblefit tao spec train.txt --retrain retrain.txt --out recipe.toml`

    **Next:** check data.path, then `nibblefit run recipe.toml`.
    """
    from nibblefit.cli.output import write_json, write_line
    from nibblefit.workspace.storage import write_file
    from nibblefit_tao.specs.conversion.to_recipe import to_recipe
    from nibblefit_tao.specs.typed import read_spec
    from nibblefit_tao.specs.yaml import read_yaml_spec, yaml_to_recipe

    if file.suffix.lower() in (".yaml", ".yml"):
        converted = yaml_to_recipe(read_yaml_spec(file))
    else:
        again = read_spec(retrain) if retrain is not None else None
        converted = to_recipe(read_spec(file), again)
    if out is not None:
        write_file(out, converted.text().encode())
    if as_json:
        write_json({"recipe": converted.tables, "notes": list(converted.notes)})
    elif out is not None:
        for note in converted.notes:
            write_line(note)
        write_line(f"recipe: {out}")
    else:
        write_line(converted.text())


def spec_back(
    recipe: Annotated[Path, typer.Argument(help="Recipe of this target.")],
    file: Annotated[Path, typer.Argument(help="Spec it came from, or another of its kind.")],
    *,
    step: Annotated[str, typer.Option("--step", help="train or retrain.")] = "train",
    out: Annotated[Path | None, typer.Option("--out", help="Spec to write.")] = None,
) -> None:
    """Write a recipe's settings back into an experiment spec of TAO.

    Fields that a recipe has no counterpart for stay as they stand in the spec.

    **Example:** `nibblefit tao spec-back recipe.toml train.txt --out changed.txt`
    """
    import tomllib

    from nibblefit.cli.output import write_line
    from nibblefit.recipe_file import read_recipe
    from nibblefit.workspace.storage import write_file
    from nibblefit_tao.specs.conversion.to_spec import to_spec
    from nibblefit_tao.specs.typed import read_spec

    if step not in ("train", "retrain"):
        raise InputError(f"--step {step} is no training of this target", hint="train or retrain")
    read_recipe(recipe)
    text = to_spec(tomllib.loads(recipe.read_text(encoding="utf-8")), read_spec(file), step)
    if out is None:
        write_line(text)
    else:
        write_file(out, text.encode())
        write_line(f"spec: {out}")


def cache(
    file: Annotated[Path, typer.Argument(help="Calibration cache of TensorRT.")],
    *,
    model: Annotated[
        Path | None, typer.Option("--for", help="ONNX model that it must be made for.")
    ] = None,
    tensorrt: Annotated[
        str, typer.Option("--tensorrt", help="Version that must accept it, such as 10.3.0.")
    ] = "",
    as_json: _Json = False,
) -> None:
    """Print what a calibration cache of TensorRT holds: each tensor's scale and range.

    TensorRT uses the cache of another model without a word and skips one of another version;
    `--for` and `--tensorrt` refuse both.

    **Example:** `nibblefit tao cache cal.bin --for model.onnx --tensorrt 10.3.0`
    """
    from nibblefit.cli.output import write_json, write_line, write_table
    from nibblefit.results import Table
    from nibblefit_tao.calibration.cache import read_cache
    from nibblefit_tao.calibration.staleness import require_fresh

    found = read_cache(file)
    if tensorrt and model is None:
        raise InputError("--tensorrt says nothing without a model", hint="add --for model.onnx")
    if model is not None:
        require_fresh(found, model, tensorrt)
    ranges = found.ranges()
    if as_json:
        write_json({"header": found.header, "ranges": ranges})
        return
    rows = tuple((n, float(s), ranges[n]) for n, s in found.scales.items())
    write_line(found.header)
    write_table(Table("Calibration", ("tensor", "scale", "largest magnitude"), rows))


def best(
    file: Annotated[Path, typer.Argument(help="Training log of TAO (CSV).")],
    *,
    checkpoints: Annotated[
        str, typer.Option("--checkpoints", help="Epochs that were saved, such as 20,40.")
    ] = "",
    metric: Annotated[str, typer.Option("--metric", help="Column that decides.")] = "mAP",
    as_json: _Json = False,
) -> None:
    """Print the best epoch of a training log: largest metric, then smaller loss, then earlier.

    Only epochs with a finite metric count, and with `--checkpoints` only those that were saved.

    **Example:** `nibblefit tao best ssd_training_log_resnet18.csv --checkpoints 20,40,60,80`
    """
    from nibblefit.cli.output import write_json, write_line
    from nibblefit_tao.logs.training_log import best_epoch, read_log

    parts = [part.strip() for part in checkpoints.split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise InputError(f"--checkpoints {checkpoints[:40]} is no list of epochs",
                         hint="write epochs with commas between them, such as 20,40")  # fmt: skip
    saved = {int(part) for part in parts} if parts else None
    rows = read_log(file)
    chosen = best_epoch(rows, saved, metric)
    row = next(row for row in rows if int(row["epoch"]) == chosen)
    if as_json:
        write_json({"epoch": chosen, metric: row[metric]})
    else:
        write_line(f"epoch {chosen}: {metric} {row[metric]:g}")


def log(
    run: Annotated[Path, typer.Argument(help="Run folder.", metavar="RUN")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")],
) -> None:
    """Write a run's trainings as TAO's logs: a CSV for each, and status.json for all.

    **Example:** `nibblefit tao log runs/digits --out logs`
    """
    from nibblefit.cli.output import write_line
    from nibblefit_tao.logs.of_run import write_logs

    for path in write_logs(run, out):
        write_line(str(path))

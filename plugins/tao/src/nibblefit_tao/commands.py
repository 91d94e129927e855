"""``nibblefit tao …``: the commands of this target. They import what they need when they run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nibblefit.errors import InputError
from nibblefit_tao.calibration.command import cache
from nibblefit_tao.looking.command import look
from nibblefit_tao.pruning.command import prune

if TYPE_CHECKING:
    from nibblefit_tao.specs.conversion.to_recipe import Converted

_YAML = (".yaml", ".yml")
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

    converted = _converted(file, retrain)
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


def _converted(file: Path, retrain: Path | None) -> Converted:
    """Return the recipe of one spec or of two."""
    from nibblefit_tao.specs.conversion.from_yaml import yaml_to_recipe
    from nibblefit_tao.specs.conversion.to_recipe import to_recipe
    from nibblefit_tao.specs.typed import read_spec
    from nibblefit_tao.specs.yaml import read_yaml_spec

    if file.suffix.lower() in _YAML:
        other = read_yaml_spec(retrain) if retrain is not None else None
        return yaml_to_recipe(read_yaml_spec(file), other)
    return to_recipe(read_spec(file), read_spec(retrain) if retrain is not None else None)


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
    if file.suffix.lower() in _YAML:
        raise InputError(f"{file} is a YAML spec; only text specs are written",
                         hint="change its fields by hand")  # fmt: skip
    read_recipe(recipe)
    text = to_spec(tomllib.loads(recipe.read_text(encoding="utf-8")), read_spec(file), step)
    if out is None:
        write_line(text)
    else:
        write_file(out, text.encode())
        write_line(f"spec: {out}")


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
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
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

    An SSD's or DSSD's logs have TAO's names, such as train/ssd_training_log_resnet18.csv; those of
    other networks are named by the step, such as training_log_train.csv.

    **Example:** `nibblefit tao log runs/digits --out logs`
    """
    from nibblefit.cli.output import write_line
    from nibblefit_tao.logs.of_run import write_logs

    files = write_logs(run, out)
    for path in files:
        write_line(str(path))
    if any(path.parent == out and path.suffix == ".csv" for path in files):
        write_line("TAO's names of logs are for SSD and DSSD: here a log has its step's name")

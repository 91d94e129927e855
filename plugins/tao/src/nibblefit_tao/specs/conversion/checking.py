"""A recipe that was made from a spec, checked before anyone writes it to a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nibblefit.errors import InputError


def require_valid(tables: Mapping[str, Any], path: Path) -> None:
    """Refuse tables that no run would take.

    Args:
        tables: The recipe.
        path: The spec it was made from.

    Raises:
        InputError: Names spec, key and what is wrong with its value.
        RecipeError: Options of task, data or schedule are out of range.
    """
    from nibblefit.data.folder import FolderOptions
    from nibblefit.data.kitti import KittiOptions
    from nibblefit.data.options import read_options
    from nibblefit.recipe import Recipe
    from nibblefit.tasks.classification import ClassificationOptions
    from nibblefit.tasks.detection.options import DetectionOptions
    from nibblefit.training.schedules import make_schedule
    from nibblefit_tao.options import TaoOptions

    task = DetectionOptions if tables["task"]["kind"] == "detection" else ClassificationOptions
    data = KittiOptions if tables["data"]["source"] == "kitti" else FolderOptions
    try:
        recipe = Recipe(**{**tables, "train": {}, "train_steps": tables["train"]})
        for step in tables["train"]:
            make_schedule(recipe.train_for(step), 100)
        TaoOptions(**(recipe.target.model_extra or {}))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: what it says of {key} makes no recipe: {first['msg']}",
                         hint="correct the spec") from None  # fmt: skip
    read_options(task, recipe.task.options, str(path), "task.options")
    read_options(data, recipe.data.options, str(path))

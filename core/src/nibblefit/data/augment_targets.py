"""Targets that have a place in the picture move with it: boxes, label maps, wanted pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from nibblefit.data.augment_moves import Moves
from nibblefit.errors import RecipeError

Floats = npt.NDArray[np.float64]

#: A box of which less than this share is left in the picture is no object any more.
VISIBLE = 0.25


def moved_target(target: Any, moves: Moves) -> Any:
    """Return a batch's target after the inputs' moves.

    Class numbers stay. Boxes (a list of mappings with ``boxes`` and ``labels``) move and are cut
    off at the border; those that are hardly left in the picture go, and whatever else a mapping
    lists per box. Label maps (integers) move by whole pixels; wanted pictures (floats) as inputs.

    Raises:
        RecipeError: Nobody knows how such a target moves.
    """
    if isinstance(target, list | tuple) and target and isinstance(target[0], dict):
        return [_moved_boxes(entry, moves, place) for place, entry in enumerate(target)]
    if isinstance(target, Tensor):
        spatial = len(moves.size)
        if target.ndim == 1:
            return target
        if not target.is_floating_point() and target.shape[1:] == moves.size:
            return moves.apply(target.unsqueeze(1).float(), nearest=True).squeeze(1).to(target)
        if target.is_floating_point() and target.shape[-spatial:] == moves.size:
            return moves.apply(target)
    raise RecipeError(
        "data.augment moves the inputs, and nothing says how their targets move with them",
        hint="use noise only, or augment in a python data source",
    )


def _moved_boxes(entry: dict[str, Any], moves: Moves, place: int) -> dict[str, Any]:
    boxes = np.asarray(entry["boxes"], np.float64).reshape(-1, 4)
    moved = moves.boxes(boxes, place)
    height, width = moves.size
    cut = np.clip(moved, 0.0, np.array([width, height, width, height], np.float64))
    kept = _area(cut) >= VISIBLE * np.maximum(_area(moved), 1e-9)
    lists = {
        key: np.asarray(value)[kept] for key, value in entry.items()
        if key != "boxes" and _is_listed(value, len(boxes))
    }  # fmt: skip
    return {**entry, **lists, "boxes": cut[kept].astype(np.float32)}


def _is_listed(value: Any, count: int) -> bool:
    return isinstance(value, list | tuple | np.ndarray) and len(value) == count


def _area(boxes: Floats) -> Floats:
    area: Floats = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0), axis=1)
    return area

"""The canonical way to say a change of shape."""

from __future__ import annotations

from typing import Any

from nibblefit.ir.graph import Shape
from nibblefit.ir.ops import Op


def reshaping(before: Shape, after: Shape) -> tuple[Op, dict[str, Any]]:
    """Return operator and attributes that turn one shape (without batch axis) into another.

    Joining all axes from one on is a FLATTEN, no change an IDENTITY, the rest a RESHAPE.
    """
    if after == before:
        return Op.IDENTITY, {}
    last = len(after) - 1
    if last >= 0 and after[:last] == before[:last] and len(before) > len(after):
        return Op.FLATTEN, {"start_axis": last + 1}
    return Op.RESHAPE, {"shape": after}

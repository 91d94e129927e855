"""The shape of one input: as given, or as the network's own file states it."""

from __future__ import annotations

import ast
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nibblefit.errors import InputError

#: Name of the constant by which a network's file states the shape of one input.
CONSTANT = "INPUT_SHAPE"
#: Most numbers of one input: an image of 16,384 x 16,384 pixels. More is a slip of the hand that
#: would end where memory does.
_MOST = 1 << 28


def parsed_shape(text: str) -> tuple[int, ...]:
    """Return the shape that ``1,28,28`` or ``1x28x28`` means; empty for an empty text.

    Raises:
        InputError: The text is no shape.
    """
    if not text:
        return ()
    try:
        shape = tuple(int(extent) for extent in text.replace("x", ",").split(","))
    except ValueError:
        shape = (0,)
    if min(shape) < 1:
        raise InputError(
            f"--input-shape {text} is no shape", hint="write channels first, such as 1,28,28"
        )
    if math.prod(shape) > _MOST:
        raise InputError(
            f"--input-shape {text} has {math.prod(shape):,} numbers; at most {_MOST:,} are taken",
            hint="give the shape of one input, channels first",
        )
    return shape


def stated_shape(source: str) -> tuple[int, ...]:
    """Return the literal ``INPUT_SHAPE`` of a factory's file, empty if it has none.

    The file is read, not run; what is wrong with it is said when the network is made.
    """
    place = source.rpartition(":")[0]
    if not place:
        return ()
    try:
        file = Path(place) if place.endswith(".py") else _package_file(place)
        found = [
            _value(node) for node in ast.parse(file.read_bytes()).body if _is_statement(node)
        ]  # fmt: skip
    except (OSError, ValueError, SyntaxError, ImportError):
        return ()
    shape = found[-1] if found else ()
    fits = isinstance(shape, tuple | list) and all(type(n) is int and n > 0 for n in shape)
    return tuple(shape) if fits else ()


def written(shape: tuple[int, ...]) -> str:
    """Return a shape as ``--input-shape`` takes it."""
    return ",".join(map(str, shape))


def _package_file(place: str) -> Path:
    spec = find_spec(place)
    return Path(spec.origin or "") if spec else Path()


def _is_statement(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else (
        [node.target] if isinstance(node, ast.AnnAssign) else []
    )  # fmt: skip
    return any(isinstance(target, ast.Name) and target.id == CONSTANT for target in targets)


def _value(node: ast.stmt) -> Any:
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    return ast.literal_eval(value) if value is not None else ()

"""Arrays of the user: npz files and what Python factories return."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nibblefit.data.labels import class_names_for
from nibblefit.data.material import Material, full_scale
from nibblefit.data.options import ScaleOptions, read_options
from nibblefit.errors import InputError

Arrays = Mapping[str, npt.NDArray[Any]]
#: Accepted array names: one set split by seed, or a set with its own test part.
KEYS = ("x", "y", "x_train", "y_train", "x_validation", "y_validation", "x_test", "y_test")


class NpzOptions(ScaleOptions):
    """Options of source ``npz``."""

    layout: Literal["auto", "channels_first", "channels_last", "gray"] = Field(
        default="auto",
        description="Axes of x after the sample axis: channels first, channels last, or gray "
        "(no channel axis). auto takes integer arrays of 3 axes for gray, all else for "
        "channels first.",
    )
    names: tuple[str, ...] = Field(default=(), description="Class names.")


def read_npz(path: Path, options: Mapping[str, Any]) -> Material:
    """Read arrays x, y or x_train, y_train, x_test, y_test; objects (pickles) are refused."""
    wanted = read_options(NpzOptions, options, "npz")
    return material_of(_load(path), wanted, str(path))


def _load(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(f"{path} is a single array, expected npz", hint="use np.savez")
            return {name: archive[name] for name in archive.files if name in KEYS}
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist", hint="check data.path") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError,
            NotImplementedError, SyntaxError, MemoryError, OverflowError) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{path} cannot be read as npz: {reason}",
            hint="write numeric arrays with numpy.savez; object arrays are never loaded",
        ) from error


def material_of(arrays: Arrays, options: NpzOptions, where: str) -> Material:
    """Check named arrays and join their parts."""
    parts = ("_train", "_validation", "_test") if "x_train" in arrays else ("",)
    if f"x{parts[0]}" not in arrays:
        raise InputError(
            f"{where} holds {', '.join(arrays) or 'none of the expected arrays'}, expected x and "
            "y, or x_train, y_train, x_test and y_test",
            hint="rename the arrays",
        )
    mixed = [name for name in ("x_validation", "x_test") if name in arrays]
    if mixed and parts == ("",):
        raise InputError(
            f"{where} holds x, which is divided here, beside {' and '.join(mixed)}",
            hint="rename x and y to x_train and y_train",
        )
    inputs, targets, bounds = [], [], [0]
    for suffix in parts:
        if f"x{suffix}" in arrays:
            inputs.append(
                _with_channels(arrays[f"x{suffix}"], options.layout, f"{where} x{suffix}")
            )
            targets.append(_targets(arrays, suffix, len(inputs[-1]), where))
        bounds.append(sum(len(part) for part in inputs))
    if any((target is None) != (targets[0] is None) for target in targets):
        raise InputError(f"{where} holds targets for only some parts", hint="give all y or none")
    joined = _join(inputs, where, "x")
    wanted = (
        None if targets[0] is None else _join([t for t in targets if t is not None], where, "y")
    )
    lowest, full = _scale(joined, options, where)
    return Material(
        inputs=joined,
        targets=wanted,
        lowest=lowest,
        full=full,
        class_names=_class_names(wanted, options, where),
        validation=np.arange(bounds[1], bounds[2]) if "x_validation" in arrays else None,
        test=np.arange(bounds[2], bounds[3]) if "x_test" in arrays else None,
    )


def _class_names(
    targets: npt.NDArray[Any] | None, options: NpzOptions, where: str
) -> tuple[str, ...]:
    if targets is None or targets.dtype.kind not in "iub":
        return options.names
    return class_names_for(targets, options.names, f"{where} y")


def _scale(inputs: npt.NDArray[Any], options: ScaleOptions, where: str) -> tuple[float, float]:
    if options.lowest is not None and options.full_scale is not None:
        return options.lowest, options.full_scale
    lowest, full = full_scale(inputs, f"{where} x")
    return (
        lowest if options.lowest is None else options.lowest,
        full if options.full_scale is None else options.full_scale,
    )


def _targets(arrays: Arrays, suffix: str, count: int, where: str) -> npt.NDArray[Any] | None:
    targets = arrays.get(f"y{suffix}")
    if targets is None:
        return None
    if targets.dtype.kind not in "iubf" or len(targets.shape) == 0:
        raise InputError(f"{where} y{suffix} holds {targets.dtype}", hint="use numeric arrays")
    if len(targets) != count:
        raise InputError(
            f"{where} holds {count:,} inputs x{suffix} and {len(targets):,} targets y{suffix}",
            hint="give one target per input",
        )
    if targets.dtype.kind == "f":
        return targets.astype(np.float32)
    # Label columns of shape (n, 1) are common in exported sets.
    return (targets[:, 0] if targets.shape[1:] == (1,) else targets).astype(np.int64)


def _join(parts: list[npt.NDArray[Any]], where: str, name: str) -> npt.NDArray[Any]:
    kinds = {(part.shape[1:], part.dtype) for part in parts}
    if len(kinds) > 1:
        listed = ", ".join(f"{list(shape)} {dtype}" for shape, dtype in sorted(kinds, key=str))
        raise InputError(
            f"{where}: parts of {name} differ: {listed}", hint="use one shape and one type"
        )
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _with_channels(array: npt.NDArray[Any], layout: str, where: str) -> npt.NDArray[Any]:
    if len(array) == 0:
        raise InputError(f"{where} holds no samples", hint="store one sample or more there")
    if array.dtype.kind not in "iubf" or array.ndim < 2:
        raise InputError(
            f"{where} is {array.dtype} of shape {list(array.shape)}, expected numbers of shape "
            "(samples, channels, …)",
            hint="store inputs as one numeric array with the samples first",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{where} holds NaN or infinity", hint="clean the data first")
    if array.dtype.kind == "b":
        array = array.astype(np.float32)
    if layout == "auto":
        layout = "gray" if array.ndim == 3 and array.dtype.kind in "iu" else "channels_first"
    if layout == "gray":
        return array[:, None]
    return np.moveaxis(array, -1, 1) if layout == "channels_last" else array

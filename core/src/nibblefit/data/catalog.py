"""From the recipe's ``[data]`` to a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from nibblefit.data.arrays import ArraySource
from nibblefit.data.digits import read_digits
from nibblefit.data.folder import read_folder
from nibblefit.data.idx_set import read_idx_set
from nibblefit.data.material import Material
from nibblefit.data.npz import read_npz
from nibblefit.data.options import ReaderOptions, read_options
from nibblefit.data.python_file import read_python
from nibblefit.data.scaling import Scaling
from nibblefit.data.source import DataSource, Split
from nibblefit.data.splits import divide
from nibblefit.errors import InputError, RecipeError, did_you_mean
from nibblefit.recipe import Recipe

#: Names for ``data.source``.
SOURCES = ("digits", "idx", "folder", "npz", "python")


def make_data(recipe: Recipe, input_range: tuple[float, float] | None = None) -> DataSource:
    """Open the recipe's data set.

    Args:
        recipe: ``data`` says which; ``run.seed`` fixes the splits.
        input_range: Real range the target wants; ``data.range`` overrides it, [0, 1] without
            either.

    Raises:
        RecipeError: The section does not fit its source.
        InputError: A file is missing, malformed or contradicts another.
        MissingExtraError: The source needs an extra that is not installed.
    """
    try:
        found = _read(recipe)
    except OSError as error:
        raise InputError(
            f"data.path '{recipe.data.path}' cannot be read: {error.strerror or error}",
            hint="check its permissions",
        ) from error
    if not isinstance(found, Material):
        return found
    low, high = recipe.data.range or input_range or (0.0, 1.0)
    scaling = Scaling(found.lowest, found.full, low, high, recipe.data.mean, recipe.data.std)
    return ArraySource(
        found.inputs, found.targets, _splits(found, recipe), scaling, found.class_names
    )


def _read(recipe: Recipe) -> Material | DataSource:
    section = recipe.data
    folder = Path(recipe.folder)
    if section.source == "digits":
        read_options(ReaderOptions, section.options, "digits")
        return read_digits()
    if section.source not in SOURCES:
        raise RecipeError(
            f"data.source is {section.source!r}, known are {', '.join(SOURCES)}",
            hint=did_you_mean(section.source, SOURCES),
        )
    if not section.path:
        raise RecipeError(
            f"data.source {section.source!r} needs data.path", hint="set data.path in the recipe"
        )
    if section.source == "python":
        return read_python(section.path, folder, section.options)
    readers = {"idx": read_idx_set, "folder": read_folder, "npz": read_npz}
    return readers[section.source](folder / section.path, section.options)


def _splits(found: Material, recipe: Recipe) -> dict[Split, npt.NDArray[np.int64]]:
    count = found.inputs.shape[0]
    seed = recipe.run.seed
    rest = np.arange(count)
    test, validation = found.test, found.validation
    rest = _without(rest, test, validation)
    if test is None:
        kept, taken = divide(_classes(found, rest), len(rest), recipe.data.test, seed)
        rest, test = rest[kept], rest[taken]
    if validation is None:
        kept, taken = divide(_classes(found, rest), len(rest), recipe.data.validation, seed + 1)
        rest, validation = rest[kept], rest[taken]
    if len(rest) == 0:
        raise InputError(
            f"no training samples are left of {count:,}",
            hint="lower data.validation and data.test, or add data",
        )
    return {Split.TRAIN: rest, Split.VALIDATION: validation, Split.TEST: test}


def _without(
    indices: npt.NDArray[np.int64], *taken: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.int64]:
    free = np.ones(len(indices), bool)
    for part in taken:
        if part is not None:
            free[part] = False
    left: npt.NDArray[np.int64] = indices[free]
    return left


def _classes(found: Material, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.generic] | None:
    targets = found.targets
    if isinstance(targets, np.ndarray) and targets.ndim == 1 and targets.dtype.kind in "iu":
        classes: npt.NDArray[np.generic] = targets[indices]
        return classes
    return None

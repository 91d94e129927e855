"""From the recipe's ``[data]`` to a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nibblefit.data.arrays import ArraySource
from nibblefit.data.digits import read_digits
from nibblefit.data.folder import FolderOptions, read_folder
from nibblefit.data.idx_set import IdxOptions, read_idx_set
from nibblefit.data.kitti import KittiOptions, read_kitti
from nibblefit.data.material import Material
from nibblefit.data.npz import NpzOptions, read_npz
from nibblefit.data.options import ReaderOptions, read_options
from nibblefit.data.python_file import read_python
from nibblefit.data.scaling import Scaling
from nibblefit.data.source import DataSource, Split
from nibblefit.data.splits import divide
from nibblefit.data.voc import VocOptions, read_voc
from nibblefit.errors import InputError, RecipeError, did_you_mean, listed
from nibblefit.hooks import DataReader
from nibblefit.recipe import Recipe
from nibblefit.recipe_file.explain import shown
from nibblefit.recipe_file.idle import changed_keys

#: Name for ``data.source`` → what its ``data.options`` may hold; None takes any keys.
OPTIONS: Mapping[str, type[ReaderOptions] | None] = {
    "digits": ReaderOptions,
    "idx": IdxOptions,
    "folder": FolderOptions,
    "npz": NpzOptions,
    "voc": VocOptions,
    "kitti": KittiOptions,
    "python": None,
}
SOURCES = tuple(OPTIONS)
#: Sources that come with their data.
WITHOUT_PATH = frozenset({"digits"})


def make_data(
    recipe: Recipe,
    input_range: tuple[float, float] | None = None,
    readers: Sequence[DataReader] = (),
) -> DataSource:
    """Open the recipe's data set.

    Args:
        recipe: ``data`` says which; ``run.seed`` fixes the splits.
        input_range: Real range the target wants; ``data.range`` overrides it, [0, 1] without
            either.
        readers: Data sets of plugins.

    Raises:
        RecipeError: The section does not fit its source.
        InputError: A file is missing, malformed or contradicts another.
        MissingExtraError: The source needs an extra that is not installed.
    """
    try:
        found = read_material(recipe, readers)
    except OSError as error:
        raise InputError(
            f"data.path '{recipe.data.path}' cannot be read: {error.strerror or error}",
            hint="check its permissions",
        ) from error
    if not isinstance(found, Material):
        _refuse_shares(recipe)
        return found
    return ArraySource(
        found.inputs,
        found.targets,
        _splits(found, recipe),
        scaling_of(found, recipe, input_range),
        found.class_names,
        notes=(*found.notes, *_unused_shares(found, recipe)),
    )


def _refuse_shares(recipe: Recipe) -> None:
    """Refuse shares of the splits for a source that hands over its splits."""
    set_keys = list(_set_shares(recipe))
    if set_keys:
        raise RecipeError(
            f"no effect of {' and '.join(set_keys)}: data.source '{recipe.data.source}' comes with "
            "all its splits",
            hint="leave it out, and divide the samples in the source",
        )


def _unused_shares(found: Material, recipe: Recipe) -> list[str]:
    """Return a note for each share of a split that the source itself sets apart."""
    own = {"data.test": found.test, "data.validation": found.validation}
    return [
        f"{key}: no effect: the source sets {len(samples):,} samples apart itself"
        for key, samples in own.items()
        if samples is not None and key in _set_shares(recipe)
    ]


def _set_shares(recipe: Recipe) -> tuple[str, ...]:
    return tuple(key for name in ("data.test", "data.validation")
                 for key in changed_keys(recipe, name))  # fmt: skip


def unknown_source(name: str, known_too: Sequence[str] = ()) -> str:
    """Return what to say about a ``data.source`` that nobody reads, plugins' sources included."""
    sources = (*SOURCES, *known_too)
    close = did_you_mean(name, sources)
    known = "" if close.startswith("known") else f" (known: {listed(sources)})"
    return f"data.source = {shown(name)}: there is no such source; {close}{known}"


def scaling_of(found: Material, recipe: Recipe, input_range: tuple[float, float] | None) -> Scaling:
    """Return how stored values become those that ``[data]`` and the target ask for."""
    low, high = recipe.data.range or input_range or (0.0, 1.0)
    return Scaling(found.lowest, found.full, low, high, recipe.data.mean, recipe.data.std)


def read_material(recipe: Recipe, contributed: Sequence[DataReader]) -> Material | DataSource:
    """Return what the reader of ``data.source`` reads."""
    section = recipe.data
    folder = Path(recipe.folder)
    if section.source == "digits":
        read_options(ReaderOptions, section.options, "digits")
        return read_digits()
    own = {reader.name: reader for reader in contributed}
    if section.source not in (*SOURCES, *own):
        raise RecipeError(unknown_source(section.source, tuple(own)))
    if not section.path:
        raise RecipeError(
            f"data.source {section.source!r} needs data.path", hint="set data.path in the recipe"
        )
    if section.source in own:
        reader = own[section.source]
        options = read_options(reader.options, section.options, reader.name)
        return reader.read(folder / section.path, options)
    if section.source == "python":
        return read_python(section.path, folder, section.options)
    readers = {
        "idx": read_idx_set, "folder": read_folder, "npz": read_npz, "voc": read_voc,
        "kitti": read_kitti,
    }  # fmt: skip
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

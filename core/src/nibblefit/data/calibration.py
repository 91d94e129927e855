"""From the recipe's ``[calibration]`` to the samples that calibrate."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nibblefit.data.arrays import ArraySource
from nibblefit.data.catalog import OPTIONS, WITHOUT_PATH, read_material, scaling_of
from nibblefit.data.material import Material
from nibblefit.data.options import ReaderOptions, read_options
from nibblefit.data.pictures import PictureOptions, read_pictures
from nibblefit.data.source import DataSource, Split
from nibblefit.errors import InputError, NibblefitError, UnsupportedError
from nibblefit.hooks import DataReader
from nibblefit.recipe import DataSection, Recipe

PICTURES = "pictures"
#: Name for ``calibration.source`` → what ``calibration.options`` may hold; None takes any keys.
CALIBRATION_OPTIONS: Mapping[str, type[ReaderOptions] | None] = {
    PICTURES: PictureOptions,
    **{name: options for name, options in OPTIONS.items() if name not in WITHOUT_PATH},
}
_DATA_KEY = re.compile(r"\bdata\.(source|path|options)\b")


def make_calibration(
    recipe: Recipe,
    data: DataSource,
    input_range: tuple[float, float] | None = None,
    readers: Sequence[DataReader] = (),
) -> DataSource:
    """Open the recipe's calibration data; all of it is the training split of what is returned.

    Args:
        recipe: ``calibration`` says which, ``data`` how values are scaled,
            ``quantize.calibration_samples`` how many there must be.
        data: The recipe's data set, whose inputs these must be like.
        input_range: Real range the target wants.
        readers: Data sets of plugins.

    Raises:
        RecipeError: The section does not fit its source.
        InputError: Nothing is there, it does not fit the network, or there are too few samples.
    """
    try:
        found = _found(recipe, data, readers)
    except OSError as error:
        raise InputError(
            f"calibration.path '{recipe.calibration.path}' cannot be read: "
            f"{error.strerror or error}", hint="check its permissions",
        ) from error  # fmt: skip
    if isinstance(found, Material):
        found = _unlabelled(found, recipe, input_range)
    _check(recipe, data, found)
    return found


def _found(
    recipe: Recipe, data: DataSource, readers: Sequence[DataReader]
) -> Material | DataSource:
    section = recipe.calibration
    if section.source == PICTURES:
        return _pictures(recipe, data)
    stated = DataSection(source=section.source, path=section.path, options=section.options)
    try:
        return read_material(recipe.model_copy(update={"data": stated}), readers)
    except NibblefitError as error:
        # Readers know the keys of [data] only.
        error.what = _DATA_KEY.sub(r"calibration.\1", error.what)
        error.hint = _DATA_KEY.sub(r"calibration.\1", error.hint)
        raise


def _pictures(recipe: Recipe, data: DataSource) -> Material:
    shape = tuple(data.input_shape)
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise UnsupportedError(
            f"pictures cannot calibrate a network with inputs of shape {list(shape)}",
            hint="set calibration.source = 'npz' and give arrays",
        )
    given = dict(recipe.calibration.options)
    if "size" not in given and "size" in recipe.data.options:
        given["size"] = recipe.data.options["size"]
    options = read_options(PictureOptions, given, PICTURES, "calibration.options")
    return read_pictures(Path(recipe.folder) / recipe.calibration.path, options, shape)


def _unlabelled(
    found: Material, recipe: Recipe, input_range: tuple[float, float] | None
) -> ArraySource:
    none = np.zeros(0, np.int64)
    splits = {Split.TRAIN: np.arange(found.inputs.shape[0]), Split.VALIDATION: none,
              Split.TEST: none}  # fmt: skip
    return ArraySource(found.inputs, None, splits, scaling_of(found, recipe, input_range))


def _check(recipe: Recipe, data: DataSource, found: DataSource) -> None:
    path, asked = recipe.calibration.path, recipe.quantize.calibration_samples
    if tuple(found.input_shape) != tuple(data.input_shape):
        raise InputError(
            f"calibration.path '{path}' holds inputs of shape {list(found.input_shape)}, the "
            f"network takes {list(data.input_shape)}",
            hint="calibrate on data like that of [data]",
        )
    count = len(found.split(Split.TRAIN))
    if count < asked:
        raise InputError(
            f"calibration.path '{path}' holds {count:,} samples, "
            f"quantize.calibration_samples asks for {asked:,}",
            hint=f"set quantize.calibration_samples = {count}, or add samples" if count else
            "add samples",
        )  # fmt: skip

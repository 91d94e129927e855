"""Data from a Python factory of the user: 'path/file.py:factory' or 'package.module:factory'."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nibblefit.data.material import Material
from nibblefit.data.npz import NpzOptions, material_of
from nibblefit.data.source import DataSource
from nibblefit.errors import InputError, NibblefitError, RecipeError

_SHAPES = "a DataSource, (x, y), (x_train, y_train, x_test, y_test) or a mapping of those names"


def read_python(
    reference: str, folder: Path, arguments: Mapping[str, Any]
) -> DataSource | Material:
    """Call the factory with the keys of ``data.options`` and take what it returns.

    A returned `DataSource` is used as it is: its inputs must already be in the network's range.
    """
    factory = _factory(reference, folder)
    try:
        made = factory(**arguments)
    except NibblefitError:
        raise
    except Exception as error:
        raise InputError(
            f"data factory {reference} raised {type(error).__name__}: {error}",
            hint="call it by hand with the keys of data.options",
        ) from error
    if all(hasattr(made, name) for name in ("input_shape", "class_names", "split", "batch")):
        source: DataSource = made
        return source
    return material_of(_named(made, reference), NpzOptions(), reference)


def _factory(reference: str, folder: Path) -> Callable[..., Any]:
    where, _, name = reference.rpartition(":")
    if not where or not name.isidentifier():
        raise RecipeError(
            f"data.path is {reference!r}",
            hint="for source = 'python' it is 'path/file.py:factory' or 'package.module:factory'",
        )
    try:
        module = _module(where, folder)
    except NibblefitError:
        raise
    except Exception as error:
        raise InputError(
            f"{where} cannot be imported: {type(error).__name__}: {error}",
            hint="run it with python to see the whole traceback",
        ) from error
    factory = getattr(module, name, None)
    if not callable(factory):
        raise InputError(f"{where} has no callable {name}", hint="check data.path")
    found: Callable[..., Any] = factory
    return found


def _module(where: str, folder: Path) -> Any:
    if not where.endswith(".py"):
        return importlib.import_module(where)
    path = folder / where
    if not path.is_file():
        raise InputError(f"{path} does not exist", hint="check data.path")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} cannot be imported", hint="check data.path")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _named(made: Any, reference: str) -> dict[str, Any]:
    names: tuple[str, ...] = ()
    if isinstance(made, Mapping):
        return {str(name): np.asarray(value) for name, value in made.items()}
    if isinstance(made, tuple | list):
        names = {2: ("x", "y"), 4: ("x_train", "y_train", "x_test", "y_test")}.get(len(made), ())
    if not names:
        raise InputError(
            f"data factory {reference} returned {type(made).__name__}", hint=f"return {_SHAPES}"
        )
    return {name: np.asarray(value) for name, value in zip(names, made, strict=True)}

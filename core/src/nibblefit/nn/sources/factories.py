"""Find and call the user's network factory."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from nibblefit.errors import InputError, NibblefitError

_FORMS = (
    "use 'path/file.py:factory', 'package.module:factory', 'net.onnx' or a file in a format that "
    "the target reads"
)


def build_module(source: str, folder: Path, arguments: Mapping[str, Any]) -> nn.Module:
    """Return the torch module that a factory makes.

    Args:
        source: ``path/file.py:factory`` or ``package.module:factory``.
        folder: Folder that relative paths start from; also searched for imports meanwhile.
        arguments: Keyword arguments of the factory.

    Raises:
        InputError: Anything between the file and the returned module goes wrong.
    """
    place, separator, name = source.rpartition(":")
    if not separator or not place or not name:
        raise InputError(f"model.source is '{source}', which names no factory", hint=_FORMS)
    file = factory_file(source)
    with _importable(folder if file is None else (folder / file).parent):
        module = _from_file(folder / file) if file else _from_package(place)
        factory = _factory(module, name, place)
        return _called(factory, source, arguments)


def factory_file(source: str) -> str | None:
    """Return the file part of a source, or None if it names a package."""
    place = source.rpartition(":")[0]
    return place if place.endswith(".py") else None


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let the user's file import its neighbours."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        near = get_close_matches(path.name, [p.name for p in path.parent.glob("*.py")], n=1)
        otherwise = "relative paths start at the recipe's folder"
        hint = f"did you mean '{near[0]}'?" if near else otherwise
        raise InputError(f"network file {path} does not exist", hint=hint)
    # The name depends on the path, so that two files called net.py do not replace each other.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    name = f"nibblefit_network_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"network file {path} cannot be imported", hint=_FORMS)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except NibblefitError:
        raise
    except Exception as problem:
        del sys.modules[name]
        raise _explained(f"network file {path} fails while it is imported", problem) from problem
    return module


def _from_package(place: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as problem:
        if problem.name is None or not f"{place}.".startswith(f"{problem.name}."):
            raise _explained(f"package '{place}' fails while it is imported", problem) from problem
        raise InputError(
            f"package '{place}' is not installed (no module named '{problem.name}')",
            hint="install it into this environment, or give the path of a file: 'net.py:factory'",
        ) from problem
    except Exception as problem:
        raise _explained(f"package '{place}' fails while it is imported", problem) from problem


def _factory(module: ModuleType, name: str, place: str) -> Callable[..., Any]:
    factory = getattr(module, name, None)
    if isinstance(factory, nn.Module):
        raise InputError(
            f"'{name}' in {place} is a finished module, not a factory",
            hint=f"wrap it into a function: def build(): return {name}",
        )
    if callable(factory):
        return factory  # type: ignore[no-any-return]
    known = [
        key for key, value in vars(module).items()
        if callable(value) and not key.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
    ]  # fmt: skip
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else (
        f"it has: {', '.join(known)}" if known else "define a function that returns the module"
    )  # fmt: skip
    what = "no" if factory is None else "no callable"
    raise InputError(f"{place} has {what} factory '{name}'", hint=hint)


def _called(factory: Callable[..., Any], source: str, arguments: Mapping[str, Any]) -> nn.Module:
    _check_arguments(factory, source, arguments)
    try:
        module = factory(**arguments)
    except NibblefitError:
        raise
    except Exception as problem:
        raise _explained(f"factory '{source}' fails", problem) from problem
    if not isinstance(module, nn.Module):
        raise InputError(
            f"factory '{source}' returned a {type(module).__name__}; expected a torch.nn.Module",
            hint="end the factory with 'return network'",
        )
    return module


def _check_arguments(
    factory: Callable[..., Any], source: str, arguments: Mapping[str, Any]
) -> None:  # fmt: skip
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return  # some classes written in C have no signature; the call itself will tell
    try:
        signature.bind(**arguments)
    except TypeError as problem:
        accepted = list(signature.parameters)
        unknown = [name for name in arguments if name not in accepted]
        near = get_close_matches(unknown[0], accepted, n=1) if unknown else []
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise InputError(
            f"factory '{source}' cannot be called with [model.arguments] "
            f"{', '.join(arguments) or '(none)'}: {problem}",
            hint=f"{hint}it takes: {', '.join(accepted) or 'nothing'}",
        ) from problem


def _explained(what: str, problem: Exception) -> InputError:
    """Return an error that names the user's line, without a traceback."""
    frames = traceback.extract_tb(problem.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return InputError(
        f"{what}: {type(problem).__name__}: {problem}{place}", hint="correct the network's code"
    )

"""Digests of the user's own files a step reads: network code, weights and data."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from nibblefit.errors import WorkspaceError
from nibblefit.recipe import Recipe
from nibblefit.recipe_file import digest_of
from nibblefit.workspace.opened import open_run
from nibblefit.workspace.storage import explained, file_digest, files_below

#: Data sets up to this many bytes are known by content, larger ones by names, sizes and times.
_BY_CONTENT = 512 << 20
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def network_files(recipe: Recipe) -> dict[str, str]:
    """Map ``file <path>`` to the digest of every file the source network is built from.

    Code counts with the local modules it imports; an ONNX file with the weight files beside it.
    Files that do not exist are left to the loader to complain about.
    """
    return _made_from(recipe.model.source, recipe.model.weights, Path(recipe.folder))


def teacher_files(recipe: Recipe) -> dict[str, str]:
    """Map ``file <path>`` to the digest of everything the teacher of [distill] is built from.

    For a run folder that is the digest of its network.
    """
    base, teacher = Path(recipe.folder), recipe.distill.teacher
    run = _run_digest(teacher, base)
    return run or _made_from(teacher, recipe.distill.weights, base)


def _made_from(source: str, weights: str, base: Path) -> dict[str, str]:
    with explained(f"read {base / source}"):
        files = set(_source_files(source, base))
    if weights:
        files.add(base / weights)
    return {**_digests(files, base), **_run_digest(weights, base)}


def _run_digest(name: str, base: Path) -> dict[str, str]:
    """Return the digest of a run folder's float network, nothing for any other name."""
    with explained(f"read {base / name}"):
        if not name or not (base / name).is_dir():
            return {}
    try:
        run = open_run(base / name)
        return {f"file {name}": run.manifest(run.float_step()).digest}
    except WorkspaceError:
        return {}  # the loader will explain it


def data_files(recipe: Recipe) -> dict[str, str]:
    """Map ``file <path>`` to the digest of the data the recipe names by path."""
    return _data_at(recipe.data.path, Path(recipe.folder))


def calibration_files(recipe: Recipe) -> dict[str, str]:
    """Map ``file <path>`` to the digest of the data of ``[calibration]``."""
    return _data_at(recipe.calibration.path, Path(recipe.folder))


def _data_at(name: str, base: Path) -> dict[str, str]:
    if not name:
        return {}
    path = base / name
    with explained(f"read {path}"):
        is_folder, is_file = path.is_dir(), path.is_file()
    if is_folder:
        return {f"file {name}": _folder_digest(path)}
    if is_file:
        return _digests({path}, base)
    return _digests(set(_source_files(name, base)), base)


def named_files(recipe: Recipe, names: Iterable[str]) -> dict[str, str]:
    """Map ``file <path>`` to the digest of every file among names below the recipe's folder.

    A name that is no file is something else, such as a preset's, or for its reader to refuse.
    """
    base = Path(recipe.folder)
    return _digests({base / name for name in names if name}, base)


def _digests(files: set[Path], base: Path) -> dict[str, str]:
    found = {}
    for path in sorted(files):
        with explained(f"read {path}"):
            if path.is_file():
                name = path.relative_to(base) if path.is_relative_to(base) else path
                found[f"file {name.as_posix()}"] = file_digest(path)
    return found


def _folder_digest(folder: Path) -> str:
    with explained(f"read {folder}"):
        paths = files_below(folder)
        names = [path.relative_to(folder).as_posix() for path in paths]
        stats = [path.stat() for path in paths]
        if sum(stat.st_size for stat in stats) <= _BY_CONTENT:
            return digest_of(dict(zip(names, map(file_digest, paths))))
        return digest_of({n: [s.st_size, s.st_mtime_ns] for n, s in zip(names, stats)})


def _source_files(source: str, base: Path) -> Iterator[Path]:
    location, _, _ = source.rpartition(":") if ":" in source else (source, "", "")
    if source.endswith(".onnx"):
        path = base / source
        yield path
        if path.parent.is_dir():
            yield from path.parent.glob(f"{path.stem}*.data")
    elif location.endswith(".py"):
        yield from _code_files(base / location, set())
    elif (base / source).is_file():  # a format that a plugin reads
        yield base / source
    else:
        module = _module_file(location.split("."), base)
        if module is not None:
            yield from _code_files(module, set())


def _module_file(parts: list[str], base: Path) -> Path | None:
    """Return the file of a dotted module name, found without importing anything."""
    search = [str(base), *sys.path]
    origin: str | None = None
    for part in parts:
        spec = importlib.machinery.PathFinder.find_spec(part, search)
        if spec is None:
            return None
        origin, search = spec.origin, list(spec.submodule_search_locations or ())
    return Path(origin) if origin and origin.endswith(".py") else None


def _code_files(path: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield a module and, transitively, the modules beside it that it imports."""
    path = path.resolve()
    if path in seen or not path.is_file():
        return
    seen.add(path)
    yield path
    yield from _code_files(path.parent / "__init__.py", seen)
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, OSError):
        return  # the loader will explain it
    installed = path.parent.name in _INSTALLED
    for name, level in _imports(tree):
        if installed and level == 0:
            continue  # neighbours in site-packages are other distributions
        folder = path.parent if level <= 1 else path.parents[min(level - 1, len(path.parents) - 1)]
        for stop in range(1, len(name) + 1):
            module = folder.joinpath(*name[:stop])
            yield from _code_files(module.with_suffix(".py"), seen)
            yield from _code_files(module / "__init__.py", seen)


def _imports(tree: ast.AST) -> Iterator[tuple[list[str], int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split("."), 0
        elif isinstance(node, ast.ImportFrom):
            parts = node.module.split(".") if node.module else []
            for alias in node.names:
                yield [*parts, alias.name], node.level

"""Read state dicts without running anything in them, and put them into modules."""

from __future__ import annotations

import pickle
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nibblefit.errors import InputError
from nibblefit.nn.sources.mismatch import fitting_names
from nibblefit.nn.sources.pickled import refuse_torchscript
from nibblefit.nn.sources.safetensors import read_safetensors

#: Keys under which training scripts nest the state dict of the network.
_NESTS = ("state_dict", "model_state_dict", "model", "net", "network")
_HINT = "save it again with torch.save(model.state_dict(), 'weights.pt')"


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a state dict by name.

    Reads .pt and .pth (tensors only), .npz (arrays only) and .safetensors, and of a run folder the
    latest float network.

    Raises:
        InputError: The file is missing, damaged, or holds anything but tensors.
        WorkspaceError: The folder is no run folder, or has no network yet.
    """
    if path.is_dir():
        return _from_run(path)
    if not path.is_file():
        raise InputError(
            f"weights file {path} does not exist",
            hint="correct model.weights; relative paths start at the recipe's folder",
        )
    match path.suffix.lower():
        case ".npz":
            return _from_npz(path)
        case ".safetensors":
            return read_safetensors(path)
        case ".pt" | ".pth" | ".bin" | ".ckpt":
            return _flat(_from_torch(path), path)
    raise InputError(
        f"weights file {path} has an unknown ending '{path.suffix}'",
        hint="use .pt, .pth, .npz or .safetensors",
    )


def _from_run(folder: Path) -> dict[str, Tensor]:
    from nibblefit.workspace import open_run

    constants = open_run(folder).float_model().graph.constants
    return {name: torch.from_numpy(np.array(value)) for name, value in constants.items()}


def _from_torch(path: Path) -> Any:
    refuse_torchscript(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch comments on how old a pickle is
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as problem:
        raise InputError(
            f"weights file {path} holds Python objects besides tensors, or is damaged; nothing "
            f"in it was executed",
            hint=_HINT,
        ) from problem
    except Exception as problem:
        # torch reports damaged archives by a dozen classes, RuntimeError to UnicodeDecodeError.
        first = (str(problem).strip().splitlines() or [""])[0]
        raise InputError(f"weights file {path} is damaged: {first}", hint=_HINT) from problem


def _from_npz(path: Path) -> dict[str, Tensor]:
    try:
        # numpy leaves a stream open that it opened itself when the archive is damaged.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: torch.from_numpy(np.array(archive[name])) for name in archive.files}
    except (OSError, ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error,
            NotImplementedError, RuntimeError, SyntaxError, MemoryError,
            OverflowError) as problem:  # fmt: skip
        raise InputError(
            f"weights file {path} is damaged or holds more than arrays: {str(problem)[:200]}",
            hint="save it again with numpy.savez(path, **arrays)",
        ) from problem


def _flat(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the state dict itself, out of a checkpoint that nests it or prefixes its names."""
    for nest in _NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise InputError(f"weights file {path} is not a state dict (name → tensor)", hint=_HINT)
    for prefix in ("module.", "_orig_mod."):
        if content and all(name.startswith(prefix) for name in content):
            content = {name.removeprefix(prefix): value for name, value in content.items()}
    return dict(content)


def apply_state_dict(
    module: nn.Module, state: Mapping[str, Tensor], path: Path, partly: list[str] | None = None,
    *, fresh: Sequence[str] = (), told: list[str] | None = None,
) -> None:  # fmt: skip
    """Load a state dict into a module.

    Args:
        module: The module.
        state: Tensors by name.
        path: Where they come from.
        partly: If given, only what fits is loaded, and sentences about the rest are added here.
        fresh: Globs on names that are not loaded.
        told: A sentence about `fresh` is added here.

    Raises:
        InputError: Names or shapes differ; lists all differences.
    """
    # Counters of seen batches are no weights; older files lack them.
    counters = ".num_batches_tracked"
    expected = {n: tuple(t.shape) for n, t in module.state_dict().items()
                if not n.endswith(counters)}  # fmt: skip
    given = {name: tensor for name, tensor in state.items() if not name.endswith(counters)}
    fitting = fitting_names(
        expected, {name: tuple(t.shape) for name, t in given.items()},
        network=type(module).__name__, weights=str(path), partly=partly, fresh=fresh, told=told,
    )  # fmt: skip
    module.load_state_dict({name: given[name] for name in fitting}, strict=False)

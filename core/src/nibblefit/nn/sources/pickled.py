"""Recognise pickled modules and TorchScript by their bytes, and refuse them unread.

Unpickling runs whatever code the file asks for, so nothing here unpickles: names are read from the
archive's directory and from the pickle's opcodes.
"""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path

from nibblefit.errors import InputError

_SUFFIXES = frozenset({".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".pt2", ".jit", ".ptl"})
#: Most opcodes looked at for the name of the pickled class.
_LOOKED_AT = 20_000
_CONVERT = (
    "write the network as a function in a Python file, save its weights once with "
    "torch.save(model.state_dict(), 'weights.pt'), and set model.source = 'net.py:factory' and "
    "model.weights = 'weights.pt'"
)


def refuse_pickled(path: Path) -> None:
    """Raise InputError if a network source is a pickle, a TorchScript or an exported archive."""
    if path.suffix.lower() not in _SUFFIXES or not path.is_file():
        return
    kind, inside = _kind(path)
    raise InputError(
        f"{path} is {kind}{f' of {inside}' if inside else ''}; it was not opened, because loading "
        f"it can run any code",
        hint=_CONVERT,
    )


def refuse_torchscript(path: Path) -> None:
    """Raise InputError if a weights file is a compiled network."""
    kind, _ = _kind(path)
    if kind in {_TORCHSCRIPT, _EXPORTED}:
        raise InputError(f"{path} is {kind}, not a state dict", hint=_CONVERT)


_TORCHSCRIPT = "a TorchScript archive"
_EXPORTED = "an exported program"
_STATE_DICT = "a state dict without a network"
_PICKLE = "a pickled Python object"


def _kind(path: Path) -> tuple[str, str]:
    """Return what a file is, and the class it holds where that can be told."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if any("/code/" in name or name.endswith("constants.pkl") for name in names):
                return _TORCHSCRIPT, ""
            if any("/models/" in name or name.endswith("serialized_exported_program.json")
                   for name in names):  # fmt: skip
                return _EXPORTED, ""
            pickles = [name for name in names if name.endswith("data.pkl")]
            data = archive.read(pickles[0]) if pickles else b""
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, EOFError):
        data = path.read_bytes() if path.is_file() else b""
    inside = _class_names(data)
    if inside and all(name.startswith(("torch._utils", "collections", "torch.")) and
                      not name.startswith("torch.nn.") for name in inside):  # fmt: skip
        return _STATE_DICT, ""
    return _PICKLE, next((n for n in inside if not n.startswith(("collections", "torch._"))), "")


def _class_names(data: bytes) -> list[str]:
    """Return the classes and functions a pickle would import, from its opcodes alone."""
    found: list[str] = []
    texts: list[str] = []
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if opcode.name == "GLOBAL":
                found.append(str(argument).replace(" ", "."))
            elif opcode.name == "STACK_GLOBAL" and len(texts) > 1:
                found.append(".".join(texts[-2:]))
            elif isinstance(argument, str):
                texts.append(argument)
            if count > _LOOKED_AT:
                break
    except Exception:  # noqa: BLE001 - damaged opcodes end the list; the file is refused anyway
        return found
    return found

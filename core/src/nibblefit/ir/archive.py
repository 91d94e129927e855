"""Folder format under every stored value: one JSON file for structure, one npz file for arrays.

Written deterministically (sorted keys, fixed time stamps, nothing compressed), each file under a
temporary name and then renamed. The JSON file carries a SHA-256 of its own content and one of the
npz file, so a damaged or mixed pair is refused. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError, WorkspaceError

#: Version of the folder format; readers refuse any other.
SCHEMA = 1
#: Largest accepted JSON file, bytes. The largest known graph needs about a hundredth of it.
JSON_LIMIT = 1 << 28
#: Largest accepted npz file, bytes.
ARRAYS_LIMIT = 1 << 34
#: Most arrays in one npz file.
ENTRY_LIMIT = 1 << 20

Arrays = Mapping[str, npt.NDArray[Any]]
#: Types an array may have; objects never.
DTYPES = frozenset({"int64", "int32", "uint8", "float32", "float64", "bool"})

#: The array format; whether its functions are typed depends on the version of numpy.
_NPY: Any = np.lib.format
_EPOCH = (1980, 1, 1, 0, 0, 0)
_HINT = "the file is damaged or was changed; write it again by running the stage that made it"


def json_bytes(value: Any) -> bytes:
    """Return canonical JSON: sorted keys, no spaces to spare, UTF-8, finite numbers only."""
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    ).encode("utf-8", errors="surrogatepass")


def array_bytes(arrays: Arrays) -> bytes:
    """Return the npz file of named arrays, the same bytes for the same values."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for index, name in enumerate(sorted(arrays)):
            entry = zipfile.ZipInfo(f"{index:06d}.npy", _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # the same bytes on every operating system
            content = io.BytesIO()
            array = np.asarray(arrays[name], order="C")
            _NPY.write_array(content, array, version=(1, 0), allow_pickle=False)
            archive.writestr(entry, content.getvalue())
    return buffer.getvalue()


def digest_of(body: Any, arrays: Arrays) -> str:
    """Return the SHA-256 of structure and arrays in their canonical bytes."""
    hasher = hashlib.sha256(json_bytes({"body": body, "arrays": sorted(arrays)}))
    hasher.update(array_bytes(arrays))
    return hasher.hexdigest()


def save(folder: Path, kind: str, body: Any, arrays: Arrays) -> None:
    """Write ``<kind>.npz`` and then ``<kind>.json`` into `folder`, which is made if absent.

    Raises:
        WorkspaceError: The folder cannot be written.
    """
    packed = array_bytes(arrays)
    content = {
        "arrays": {"names": sorted(arrays), "sha256": hashlib.sha256(packed).hexdigest()},
        "body": body,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{kind}.npz", packed)
    except OSError as error:
        raise WorkspaceError(f"cannot write {folder / kind}.npz: {error.strerror}") from error
    save_json(folder / f"{kind}.json", kind, content)


def load(folder: Path, kind: str) -> tuple[Any, dict[str, npt.NDArray[Any]]]:
    """Return structure and arrays of a folder written by `save`.

    Raises:
        InputError: A file is missing, damaged, too large, or of another kind or version.
    """
    content = load_json(folder / f"{kind}.json", kind)
    path = folder / f"{kind}.npz"
    packed = read_bytes(path, ARRAYS_LIMIT)
    try:
        names, wanted, body = (
            content["arrays"]["names"],
            content["arrays"]["sha256"],
            content["body"],
        )
    except (KeyError, TypeError):
        raise InputError(f"{folder / kind}.json lacks a part", hint=_HINT) from None
    if hashlib.sha256(packed).hexdigest() != wanted:
        raise InputError(f"{path} does not belong to {kind}.json (SHA-256 differs)", hint=_HINT)
    return body, _unpack(path, packed, names)


def save_json(path: Path, kind: str, content: Any) -> None:
    """Write a JSON file that names its kind and schema and carries its own SHA-256.

    Raises:
        WorkspaceError: The file cannot be written.
    """
    whole = {
        "content": content,
        "kind": kind,
        "schema": SCHEMA,
        "sha256": hashlib.sha256(json_bytes(content)).hexdigest(),
    }
    text = json.dumps(whole, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (text + "\n").encode("utf-8", errors="surrogatepass"))
    except OSError as error:
        raise WorkspaceError(f"cannot write {path}: {error.strerror}") from error


def load_json(path: Path, kind: str) -> Any:
    """Return the content of a file written by `save_json`.

    Raises:
        InputError: The file is missing, damaged, too large, or of another kind or version.
    """
    raw = read_bytes(path, JSON_LIMIT)
    try:
        whole = json.loads(raw.decode("utf-8", errors="surrogatepass"))
        found, schema = whole["kind"], whole["schema"]
        content, wanted = whole["content"], whole["sha256"]
        actual = hashlib.sha256(json_bytes(content)).hexdigest()
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{path} is no readable {kind} file", hint=_HINT) from None
    if found != kind:
        raise InputError(f"{path} holds a {found!s:.40}; expected a {kind}")
    if schema != SCHEMA:
        raise InputError(
            f"{path} has schema version {schema!s:.20}; this version reads {SCHEMA}",
            hint="write it again with the installed version",
        )
    if actual != wanted:
        raise InputError(f"{path} was changed after it was written (SHA-256 differs)", hint=_HINT)
    return content


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that its name never shows half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes; InputError otherwise."""
    try:
        size = path.stat().st_size
        if size > limit:
            raise InputError(f"{path} has {size} bytes; expected at most {limit}")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def _unpack(path: Path, packed: bytes, names: Any) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            entries = archive.infolist()
            if len(entries) != len(names) or len(entries) > ENTRY_LIMIT:
                raise InputError(f"{path} holds {len(entries)} arrays; expected {len(names)}",
                                 hint=_HINT)  # fmt: skip
            for name, entry in zip(names, entries, strict=True):
                # A stored entry cannot unpack to more bytes than the file has.
                if entry.compress_type != zipfile.ZIP_STORED or not isinstance(name, str):
                    raise InputError(f"{path} holds a compressed or nameless entry", hint=_HINT)
                arrays[name] = _array(archive.read(entry))
    except (zipfile.BadZipFile, ValueError, TypeError, EOFError, OSError, NotImplementedError,
            RuntimeError, MemoryError, SyntaxError) as error:  # fmt: skip
        raise InputError(f"{path} is no readable array file: {error!s:.80}", hint=_HINT) from None
    return arrays


def _array(content: bytes) -> npt.NDArray[Any]:
    stream = io.BytesIO(content)
    version = _NPY.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"array version {version}")
    header = _NPY.read_array_header_1_0(stream)
    shape, fortran, dtype = header
    if dtype.name not in DTYPES or fortran or min(shape, default=0) < 0:
        raise ValueError(f"array type {dtype}")
    return np.frombuffer(content[stream.tell() :], dtype=dtype).reshape(shape)

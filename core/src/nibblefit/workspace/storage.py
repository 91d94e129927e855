"""Writing that a kill cannot halve, and disk troubles as one clear line."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nibblefit.errors import WorkspaceError

#: Free bytes below which a failed write is put down to a full disk.
_FULL = 1 << 20

_REMEDIES = {
    errno.ENOSPC: ("the disk is full", "free some space and run again; finished steps are kept"),
    errno.EDQUOT: ("your disk quota is used up", "free some space and run again"),
    errno.EROFS: ("the file system is read-only", "choose another folder with --folder"),
    errno.EACCES: ("permission denied", "choose a folder you may write, or change its permissions"),
    errno.EPERM: ("operation not permitted", "choose a folder you may write"),
    errno.ENOTDIR: ("a file stands where a folder is needed", "choose another folder"),
    errno.ENOENT: ("there is no such folder", "make the folder first, or name another one"),
    errno.EISDIR: ("a folder stands there", "name a file"),
    errno.EEXIST: ("a file stands where a folder is needed", "choose another folder"),
}


def storage_error(error: OSError, action: str) -> WorkspaceError:
    """Return the one line for a failed disk operation; `action` is such as ``write <path>``."""
    reason, hint = _REMEDIES.get(error.errno or 0, (error.strerror or str(error), ""))
    return WorkspaceError(f"cannot {action}: {reason}", hint=hint)


def is_out_of_space(error: BaseException, folder: Path) -> bool:
    """Return whether an error raised while writing below `folder` comes from a full disk.

    Libraries hide ENOSPC behind errors of their own, so the free space decides for those.
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return True
    try:
        return shutil.disk_usage(folder).free < _FULL
    except OSError:
        return False


@contextmanager
def explained(action: str) -> Iterator[None]:
    """Turn an OSError of the block into a WorkspaceError that says what could not be done."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, action) from error


def make_folder(path: Path) -> Path:
    """Create a folder and its parents; returns it."""
    with explained(f"create the folder {path}"):
        path.mkdir(parents=True, exist_ok=True)
    return path


def write_file(path: Path, content: bytes) -> None:
    """Replace a file by new content: after a kill it holds the old or the new, never a mix."""
    temporary = path.with_name(f".{path.name}.new")
    with explained(f"write {path}"):
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder with everything in it; nothing happens if it does not exist."""
    with explained(f"remove {path}"):
        if path.exists():
            shutil.rmtree(path)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_below(folder: Path) -> list[Path]:
    """Return every regular file below a folder, in a stable order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def sync_folder_tree(folder: Path) -> None:
    """Force every file and folder below `folder` onto the disk."""
    with explained(f"write {folder}"):
        for path in files_below(folder):
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        for path in folder.rglob("*"):
            if path.is_dir():
                _sync_folder(path)
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows does not open folders
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def new_sibling(folder: Path) -> Path:
    """Return where the next content of `folder` is prepared."""
    return folder.with_name(f".{folder.name}.new")


def old_sibling(folder: Path) -> Path:
    """Return where the replaced content of `folder` stands for a moment."""
    return folder.with_name(f".{folder.name}.old")


def swap_in(folder: Path) -> None:
    """Put the complete folder at `new_sibling` in the place of `folder`."""
    new, old = new_sibling(folder), old_sibling(folder)
    remove_folder(old)
    with explained(f"write {folder}"):
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        _sync_folder(folder.parent)
    remove_folder(old)


def settle(folder: Path, complete: str) -> None:
    """Finish or undo a swap that a kill interrupted.

    Args:
        folder: The folder whose siblings are looked at.
        complete: Name of the file that is written last; a new sibling that has it is whole.
    """
    new, old = new_sibling(folder), old_sibling(folder)
    if (new / complete).is_file():
        swap_in(folder)
        return
    remove_folder(new)
    if old.exists():
        if folder.exists():
            remove_folder(old)
        else:
            with explained(f"restore {folder}"):
                old.rename(folder)

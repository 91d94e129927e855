"""One run at a time in a run folder."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO

from nibblefit.errors import WorkspaceError
from nibblefit.workspace.storage import explained, storage_error, write_file

if sys.platform == "win32":  # pragma: no cover

    def _take(_stream: IO[bytes]) -> None:
        raise OSError(errno.ENOLCK, "no record locks here")

else:
    import fcntl

    def _take(stream: IO[bytes]) -> None:
        fcntl.lockf(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


#: Folders locked by this process: record locks do not keep a process out of its own files.
_HELD: set[Path] = set()


class RunLock:
    """Holds a run folder for this process; use as a context manager.

    A POSIX record lock is used: the system drops it when the process dies however it dies, and
    forked data loaders do not inherit it. Where the file system has no locks, the process id and
    host in ``lock.json`` decide.

    Attributes:
        took_over: Description of a run that died without cleaning up, empty if there was none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.took_over = ""
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> RunLock:
        if self.folder in _HELD:
            raise self._in_use(self._holder())
        stream = self._open()
        try:
            locked = self._lock(stream)
            self._take_over(locked=locked)
            self._write_holder()
        except BaseException:
            stream.close()
            raise
        self._stream = stream
        _HELD.add(self.folder)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        _HELD.discard(self.folder)
        with contextlib.suppress(OSError):  # a read-only disk must not hide the first error
            self._info.unlink(missing_ok=True)
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _take_over(self, *, locked: bool) -> None:
        holder = self._holder()
        if holder and not locked and _is_alive(holder):
            raise self._in_use(holder)
        self.took_over = _describe(holder) if holder else ""

    @property
    def _info(self) -> Path:
        return self.folder / "lock.json"

    def _open(self) -> IO[bytes]:
        path = self.folder / ".lock"
        with explained(f"lock the run folder {self.folder}"):
            return path.open("ab")

    def _lock(self, stream: IO[bytes]) -> bool:
        """Take the system's lock; return False where the file system has none."""
        try:
            _take(stream)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise self._in_use(self._holder()) from None
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
                return False
            raise storage_error(error, f"lock the run folder {self.folder}") from error
        return True

    def _holder(self) -> dict[str, object]:
        try:
            holder = json.loads(self._info.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return holder if isinstance(holder, dict) else {}

    def _write_holder(self) -> None:
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "started": started}
        write_file(self._info, json.dumps(holder).encode())

    def _in_use(self, holder: dict[str, object]) -> WorkspaceError:
        who = f" by {_describe(holder)}" if holder else ""
        return WorkspaceError(
            f"run folder {self.folder} is in use{who}",
            hint="wait for that run, or choose another folder with --folder",
        )


def _describe(holder: dict[str, object]) -> str:
    return (
        f"process {holder.get('pid', '?')} on {holder.get('host', '?')}, "
        f"started {holder.get('started', '?')}"
    )


def _is_alive(holder: dict[str, object]) -> bool:
    """Return whether the holder may still run; another host's processes count as alive."""
    pid = holder.get("pid")
    if holder.get("host") != socket.gethostname() or not isinstance(pid, int) or pid <= 0:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True

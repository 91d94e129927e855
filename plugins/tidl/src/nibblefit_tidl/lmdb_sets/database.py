"""An LMDB database on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from nibblefit.errors import InputError, MissingExtraError

FILE = "data.mdb"


def lmdb_module() -> ModuleType:
    """Return the optional package.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import lmdb
    except ImportError as error:
        raise MissingExtraError(
            "an LMDB data set", "lmdb", distribution="nibblefit-tidl"
        ) from error
    module: ModuleType = lmdb
    return module


@dataclass(frozen=True, slots=True)
class Database:
    """Read-only access to one database; it is open only while something is read."""

    folder: Path

    @contextmanager
    def opened(self) -> Iterator[Callable[[bytes], bytes]]:
        """Open the database; yields what returns the record of a key."""
        with self._transaction() as transaction:

            def get(key: bytes) -> bytes:
                found = transaction.get(key)
                if found is None:
                    raise InputError(
                        f"{self.folder} has no record {key!r}", hint="it was changed meanwhile"
                    )
                return bytes(found)

            yield get

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield every key with its record, in the order of the keys' bytes."""
        with self._transaction() as transaction:
            for key, value in transaction.cursor():
                yield bytes(key), bytes(value)

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        if not (self.folder / FILE).is_file():
            raise InputError(
                f"{self.folder} holds no LMDB database ({FILE})", hint="give the folder of data.mdb"
            )
        with _explained(self.folder):
            environment = lmdb_module().open(
                str(self.folder), readonly=True, create=False, lock=False, readahead=False
            )
            try:
                with environment.begin() as transaction:
                    yield transaction
            finally:
                environment.close()


def write_records(folder: Path, records: Iterable[tuple[bytes, bytes]], size: int) -> None:
    """Write a new database.

    Args:
        folder: Made if need be; must not hold a database yet.
        records: Keys and values.
        size: Largest size of the file in bytes.

    Raises:
        InputError: There is a database already, or the disk refuses it.
    """
    module = lmdb_module()
    if (folder / FILE).exists():
        raise InputError(f"{folder} holds a database already", hint="remove it, or use another")
    folder.mkdir(parents=True, exist_ok=True)
    with _explained(folder):
        environment = module.open(str(folder), map_size=size)
        try:
            with environment.begin(write=True) as transaction:
                for key, value in records:
                    transaction.put(key, value)
        finally:
            environment.close()


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn what LMDB and the system raise into one line."""
    module = lmdb_module()
    try:
        yield
    except (module.Error, OSError) as error:
        raise InputError(
            f"the database {folder} is damaged or cannot be used: {error}",
            hint="write or copy it again",
        ) from error

"""Files of an artifact, written whole or not at all, and remembered with their digests."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from nibblefit.results import ArtifactFile
from nibblefit.workspace.storage import explained, make_folder, write_file


class Folder:
    """A folder that is being filled.

    Attributes:
        path: Where it is.
        files: What was written, in order.
    """

    def __init__(self, path: Path) -> None:
        self.path = make_folder(path)
        self.files: list[ArtifactFile] = []

    def add(self, role: str, name: str, content: bytes | str) -> None:
        """Write a file: after a kill the old or the new one stands there, never a mix.

        Raises:
            WorkspaceError: It cannot be written.
        """
        raw = content.encode() if isinstance(content, str) else content
        write_file(self.path / name, raw)
        sha256 = hashlib.sha256(raw).hexdigest()
        self.files.append(ArtifactFile(role, PurePosixPath(name), sha256))

    def drop_older(self, name: str) -> None:
        """Remove a file that only an earlier writing made, if there is one."""
        if name in self.checksums():
            return
        with explained(f"remove {self.path / name}"):
            (self.path / name).unlink(missing_ok=True)

    def checksums(self) -> dict[str, str]:
        """Return the SHA-256 of every file by name."""
        return {str(file.path): file.sha256 for file in self.files}

"""Files of an artifact, written one by one and remembered with their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from nibblefit.errors import WorkspaceError
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.ir.store import digest
from nibblefit.results import Artifact, ArtifactFile


class Folder:
    """A folder that is being filled.

    Attributes:
        path: Where it is.
        files: What was written, in order.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: list[ArtifactFile] = []

    def add(self, role: str, name: str, content: bytes | str) -> None:
        """Write a file; folders in its name are made.

        Raises:
            WorkspaceError: It cannot be written.
        """
        raw = content.encode() if isinstance(content, str) else content
        path = self.path / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
        except OSError as error:
            raise WorkspaceError(f"{path} cannot be written: {error.strerror}") from error
        self._note(role, name, raw)

    def adopt(self, role: str, name: str) -> None:
        """Take a file that somebody else wrote into the folder."""
        self._note(role, name, (self.path / name).read_bytes())

    def _note(self, role: str, name: str, raw: bytes) -> None:
        sha256 = hashlib.sha256(raw).hexdigest()
        self.files.append(ArtifactFile(role, PurePosixPath(name), sha256))

    def artifact(self, graph: QuantizedGraph, part: str, notes: Mapping[str, Any]) -> Artifact:
        """Return everything that was written."""
        files = tuple(self.files)
        return Artifact(graph.target, part, digest(graph), files, frozen_mapping(notes))

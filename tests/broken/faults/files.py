"""Toy targets whose files are at fault."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nibblefit_toychip import ToyChip
from nibblefit_toychip.files import MEMORY

from nibblefit.errors import UnsupportedError
from nibblefit.hooks import hookimpl
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.results import Artifact
from nibblefit.run import Run


def rewritten(artifact: Artifact, folder: Path, edit: Any) -> Artifact:
    """Return the artifact after editing its weight file, with digests that fit."""
    import hashlib

    content = edit((folder / MEMORY).read_bytes())
    (folder / MEMORY).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    files = tuple(replace(f, sha256=digest) if f.role == "weights" else f for f in artifact.files)
    return replace(artifact, files=files)


class WrongWeightOrder(ToyChip):
    """Writes the weight memory back to front."""

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        artifact = super().compile(run, graph)
        return rewritten(artifact, run.folder, lambda b: np.frombuffer(b, "<i4")[::-1].tobytes())


class UnstableFile(ToyChip):
    """Appends a counter to a file, as others append a time."""

    written = 0

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        artifact = super().compile(run, graph)
        UnstableFile.written += 4
        return rewritten(artifact, run.folder, lambda b: b + bytes(UnstableFile.written))


class WrongDigest(ToyChip):
    """States a digest that its file does not have."""

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        artifact = super().compile(run, graph)
        first, *rest = artifact.files
        return replace(artifact, files=(replace(first, sha256="0" * 64), *rest))


class UnlistedFile(ToyChip):
    """Leaves a file lying about that it does not list."""

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        (run.folder / "notes.tmp").write_text("remember the milk")
        return super().compile(run, graph)


class RefusesInCompile(ToyChip):
    """Refuses every network at the last moment, without a remedy."""

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        raise UnsupportedError("this network does not compile")

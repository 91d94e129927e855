"""Finished layers of a finetune on disk, so that a run that was stopped goes on behind them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nibblefit.ir.graph import FloatConstant, Graph
from nibblefit_vitis.formats import NetworkFormats

_FILE = "fast_finetune.npz"
_FACTS = "facts"


class Progress:
    """Layers that are done, with what they learned.

    Args:
        folder: Where the file is; None keeps nothing.
        key: Digest of everything the results depend on; a file with another one is passed over.
    """

    def __init__(self, folder: Path | None, key: str) -> None:
        self._path = None if folder is None else folder / _FILE
        self._key = key
        self._losses: dict[str, float] = {}
        self._constants: dict[str, dict[str, FloatConstant]] = {}
        if self._path is not None and self._path.exists():
            self._read(self._path)

    def _read(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as kept:
            facts = json.loads(str(kept[_FACTS]))
            if facts["key"] != self._key:
                return
            self._losses = facts["losses"]
            for layer, names in facts["names"].items():
                arrays = [kept[f"{layer}|{place}"] for place in range(len(names))]
                self._constants[layer] = dict(zip(names, arrays))

    def layer(self, name: str) -> Mapping[str, FloatConstant] | None:
        """Return what a finished layer learned, empty if nothing; None if it is still to do."""
        return self._constants.get(name)

    def loss(self, name: str) -> float:
        """Return the network's loss after a finished layer."""
        return self._losses[name]

    def keep(self, name: str, constants: Mapping[str, FloatConstant], loss: float) -> None:
        """Add a finished layer, on disk too."""
        self._constants[name], self._losses[name] = dict(constants), loss
        if self._path is None:
            return
        names = {layer: list(found) for layer, found in self._constants.items()}
        facts = {"key": self._key, "losses": self._losses, "names": names}
        arrays: dict[str, Any] = {
            f"{layer}|{place}": found[constant]
            for layer, found in self._constants.items()
            for place, constant in enumerate(found)
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new.npz")
        arrays[_FACTS] = np.array(json.dumps(facts))
        np.savez(new, **arrays)
        new.replace(self._path)


def digest_of(graphs: Sequence[Graph], formats: NetworkFormats, settings: Sequence[object],
              batches: Sequence[Mapping[str, Tensor]]) -> str:  # fmt: skip
    """Return a digest of networks, their formats, all settings and the data."""
    digest = hashlib.sha256()
    for part in (dict(formats.params), dict(formats.outputs), *settings):
        digest.update(repr(part).encode())
    for graph in graphs:
        digest.update(repr(graph.nodes).encode())
        for name, values in graph.constants.items():
            digest.update(name.encode() + values.tobytes())
    for batch in batches:
        for tensor in batch.values():
            digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()

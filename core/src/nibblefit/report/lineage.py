"""Which result came from which: read from manifests alone, by content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nibblefit.plan import Stage
from nibblefit.workspace import OpenRun
from nibblefit.workspace.manifest import Manifest

_RESULT = "result of "
_FLOAT_PHASE = "float"


class Lineage:
    """What went into the results of some steps of a run.

    A manifest records the digest of every result that went in, so neither another round nor an
    older result can be mistaken for it.
    """

    def __init__(self, run: OpenRun, steps: Sequence[str]) -> None:
        self._manifests = {step: run.manifest(step) for step in steps}

    def kind(self, step: str) -> str:
        """Return the kind of a step's value."""
        return self._manifests[step].kind

    def of_kind(self, kind: str) -> list[str]:
        """Return the steps that made a value of a kind, in the order of the run."""
        return [step for step, manifest in self._manifests.items() if manifest.kind == kind]

    def parents(self, step: str) -> list[str]:
        """Return the steps whose results went into a step's."""
        found = []
        for key, value in self._manifests[step].ingredients.items():
            if key.startswith(_RESULT):
                found += list(self._made(key.removeprefix(_RESULT), str(value), step))[-1:]
        return found

    def is_float(self, step: str) -> bool:
        """Return whether a step made a float model that no later phase has touched."""
        manifest = self._manifests[step]
        phase = manifest.ingredients.get("plan.phase", _FLOAT_PHASE)
        own = manifest.kind == "model" and phase == _FLOAT_PHASE
        return own and all(self.is_float(parent) for parent in self.parents(step))

    def float_evaluation(self, step: str) -> str:
        """Return the evaluation of the nearest float model behind an evaluation.

        What pruning left is passed over if it was trained again. Empty where `step` measures a
        float model itself, and where that model was not measured.
        """
        line = self._line(step)
        if not line or self.is_float(line[0]):
            return ""
        for origin in filter(self.is_float, self._not_retrained(line)):
            judges = [s for s in self.of_kind("report") if origin in self.parents(s)]
            if judges:
                return judges[-1]
        return ""

    def _not_retrained(self, line: Sequence[str]) -> Iterator[str]:
        """Yield the steps of a chain, nearest first, without prunings behind a training."""
        trained = False
        for step in line:
            stage = self._manifests[step].stage
            if not (trained and stage == Stage.PRUNE):
                yield step
            trained = trained or stage == Stage.TRAIN

    def _line(self, step: str) -> list[str]:
        """Return the chain of first parents, nearest first."""
        line: list[str] = []
        above = self.parents(step)
        while above:
            line.append(above[0])
            above = self.parents(above[0])
        return line

    def _made(self, plain: str, digest: str, taker: str) -> Iterator[str]:
        """Yield the earlier steps of a plain name that made a result; the taker's round last."""
        suffix = taker.partition("@")[2]
        earlier = list(self._manifests)[: list(self._manifests).index(taker)]
        fitting = [name for name in earlier if _is(self._manifests[name], name, plain, digest)]
        yield from sorted(fitting, key=lambda name: _shared(suffix, name.partition("@")[2]))


def _is(manifest: Manifest, name: str, plain: str, digest: str) -> bool:
    return name.partition("@")[0] == plain and manifest.digest == digest


def _shared(one: str, other: str) -> int:
    """Return how many leading rounds or candidates two suffixes share."""
    count = 0
    for left, right in zip(one.split("@"), other.split("@"), strict=False):
        if left != right:
            break
        count += 1
    return count

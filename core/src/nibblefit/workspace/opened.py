"""Open a finished or half-finished run again, every step's result by name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from nibblefit.errors import WorkspaceError, did_you_mean
from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.recipe import Recipe
from nibblefit.results import Artifact, Report
from nibblefit.workspace.folder import RunFolder, StepFolder
from nibblefit.workspace.manifest import Manifest
from nibblefit.workspace.storage import explained
from nibblefit.workspace.values import Kind, Value

#: Sub-folder of the prepare step in which the network is kept as it was captured.
SOURCE = "source"
#: Training phase that simulates integers.
QUANTIZED_PHASE = "qat"
_NUMBER = re.compile(r"\d+")
_V = TypeVar("_V", bound=Value)


def open_run(folder: Path | str) -> OpenRun:
    """Return a run folder opened for reading.

    Raises:
        WorkspaceError: The folder is no run folder.
    """
    return OpenRun(Path(folder))


class OpenRun:
    """Read-only view of a run folder.

    Results are asked for by step name, such as ``model("float")``; without a name the latest one
    of that type is returned. The steps of a repeat or a search answer to their plain name, too:
    that is the last round's or the winner's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder = RunFolder(path)
        with explained(f"open the run folder {path}"):
            is_run = self._folder.stages.is_dir()
        if not is_run:
            raise WorkspaceError(
                f"{path} is no run folder", hint="give the folder that `nibblefit run` wrote to"
            )
        self._found = dict(self._scan())
        self._aliases = self._read_aliases()

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the finished steps, in plan order."""
        return tuple(self._found)

    @property
    def recipe(self) -> Recipe:
        """The recipe the run was last started with."""
        path = self.path / "recipe.json"
        try:
            return Recipe.model_validate_json(path.read_bytes(), strict=True)
        except (OSError, ValidationError) as error:
            raise WorkspaceError(f"{path} is missing or damaged", hint="run again") from error

    def manifest(self, step: str) -> Manifest:
        """Return what is recorded about a step."""
        manifest = self._step(step).manifest()
        assert manifest is not None  # only finished steps are listed
        return manifest

    def folder(self, step: str = "") -> Path:
        """Return the folder with the files a step wrote; without a name, the latest compile's."""
        return self._step(step or self._latest(Kind.ARTIFACT)).path

    def value(self, step: str) -> Value:
        """Return a step's result, whatever its type."""
        return self._step(step).load()

    def source(self) -> Graph:
        """Return the network as it was captured, before any stage changed it."""
        from nibblefit.ir.store import load_graph

        for step, folder in self._found.items():
            if (folder.path / SOURCE).is_dir() and self.manifest(step).stage == "prepare":
                return load_graph(folder.path / SOURCE)
        raise WorkspaceError(f"{self.path} has no prepared network yet", hint="run prepare first")

    def model(self, step: str = "") -> Model:
        """Return the float model of a step, of the latest one without a name."""
        return self._typed(step, Kind.MODEL, Model)

    def float_step(self) -> str:
        """Return the name of the latest step that made a float network, not a quantized one.

        Raises:
            WorkspaceError: There is none yet.
        """
        for name, folder in reversed(self._found.items()):
            if self._kind(folder) == Kind.MODEL:
                phase = self.manifest(name).ingredients.get("plan.phase", "")
                if phase != QUANTIZED_PHASE:
                    return name
        raise WorkspaceError(f"{self.path} has no float network yet", hint="run further")

    def float_model(self) -> Model:
        """Return the latest float model whose training did not simulate integers."""
        return self.model(self.float_step())

    def graph(self, step: str = "") -> QuantizedGraph:
        """Return the integer graph of a step, of the latest one without a name."""
        return self._typed(step, Kind.QUANTIZED, QuantizedGraph)

    def artifact(self, step: str = "") -> Artifact:
        """Return the compiled files of a step; their paths start at `folder`."""
        return self._typed(step, Kind.ARTIFACT, Artifact)

    def report(self, step: str = "") -> Report:
        """Return the report of an evaluate step, of the latest one without a name."""
        return self._typed(step, Kind.REPORT, Report)

    def journal(self) -> list[dict[str, Any]]:
        """Return every event of every start of this run."""
        return self._folder.journal.read()

    def outcome(self, group: str) -> Mapping[str, Any]:
        """Return what a repeat or a search of the plan ended in: rounds, table, winner."""
        known = {}
        for path, facts in self._outcomes():
            known[str(facts.get("name", path.parent.name))] = facts
        if group not in known:
            raise WorkspaceError(f"no group '{group}' in {self.path}; {did_you_mean(group, known)}")
        return known[group]

    def outcomes(self) -> tuple[Mapping[str, Any], ...]:
        """Return what all repeats and searches ended in, each with its ``name``, in plan order."""
        order = self._order()
        found = [(path.relative_to(self._folder.stages).parts[0].partition("-")[2], facts)
                 for path, facts in self._outcomes()]  # fmt: skip
        return tuple(facts for name, facts in found if "name" in facts and (
            not order or name in order))  # fmt: skip

    def _typed(self, step: str, kind: Kind, wanted: type[_V]) -> _V:
        name = step or self._latest(kind)
        value = self.value(name)
        if not isinstance(value, wanted):
            fitting = [n for n, f in self._found.items() if self._kind(f) == kind]
            raise WorkspaceError(
                f"step '{name}' of {self.path} made a {type(value).__name__}, not a {kind.value}",
                hint=f"steps that did: {', '.join(fitting) or 'none'}",
            )
        return value

    def _latest(self, kind: Kind) -> str:
        for name, folder in reversed(self._found.items()):
            if self._kind(folder) == kind:
                return name
        raise WorkspaceError(f"{self.path} has no {kind.value} yet", hint="run further")

    def _step(self, name: str) -> StepFolder:
        # A step of the plan wins over a name that an earlier plan's search gave to its winner.
        folder = self._found.get(name) or self._found.get(self._aliases.get(name, name))
        if folder is None:
            known = (*self._found, *self._aliases)
            raise WorkspaceError(f"{self.path} has no step '{name}'; {did_you_mean(name, known)}")
        return folder

    @staticmethod
    def _kind(folder: StepFolder) -> str:
        manifest = folder.manifest()
        return manifest.kind if manifest else ""

    def _scan(self) -> Iterator[tuple[str, StepFolder]]:
        order = self._order()
        for path in _in_order(self._folder.stages):
            if not order or path.name.partition("-")[2] in order:
                yield from _steps_below(path)

    def _order(self) -> list[str]:
        try:
            content = json.loads((self.path / "plan.json").read_bytes())
            return list(content["order"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return []  # without the plan every step found is shown

    def _outcomes(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        for path in sorted(self._folder.stages.rglob("outcome.json")):
            if any((parent / "manifest.json").exists() for parent in path.parents):
                continue  # a file of that name written by a stage
            try:
                facts = json.loads(path.read_bytes())
            except (ValueError, RecursionError) as error:
                raise WorkspaceError(f"{path} is damaged", hint="run again") from error
            yield path, facts

    def _read_aliases(self) -> dict[str, str]:
        aliases: dict[str, str] = {}
        for _, facts in self._outcomes():
            aliases.update(facts.get("aliases", {}))
        return aliases


def _in_order(folder: Path) -> list[Path]:
    """Return the visible sub-folders in the order of the numbers in their names."""

    def rank(path: Path) -> list[tuple[int, str]]:
        return [
            (int(part), "") if part.isdigit() else (-1, part)
            for part in re.split(f"({_NUMBER.pattern})", path.name)
        ]

    return sorted((p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."), key=rank)


def _steps_below(folder: Path) -> Iterator[tuple[str, StepFolder]]:
    step = StepFolder(folder)
    try:
        manifest = step.manifest()
    except WorkspaceError:
        return  # a damaged step counts as not finished
    if manifest is not None:
        yield manifest.step, step
        return
    for inner in _in_order(folder):
        yield from _steps_below(inner)

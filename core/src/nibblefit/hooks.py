"""Hook specifications: the whole contract between nibblefit, targets and extensions.

A *target* is one object with an `info` and any of these hooks as methods marked `hookimpl`.
Exactly one target is chosen per run. A stage hook that the target implements belongs to it: core
steps aside, and returning nothing is an error. Stages it does not implement fall to core's
defaults in `nibblefit.defaults`, which are plain functions a target may also call itself.

*Extensions* are any number of objects that may contribute to training, watch stages, or wrap
stages (``hookimpl(wrapper=True)``); they never implement one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pluggy

from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.numerics import Numerics
from nibblefit.plan import Plan

if TYPE_CHECKING:
    import typer
    from pydantic import BaseModel
    from torch import nn

    from nibblefit.data.material import Material
    from nibblefit.data.source import DataSource
    from nibblefit.ir.graph import Graph
    from nibblefit.ir.quantized import QuantizedGraph
    from nibblefit.models import Model
    from nibblefit.recipe import Recipe
    from nibblefit.results import Artifact, Finding, Report
    from nibblefit.run import Run
    from nibblefit.training.parts import TrainingPart

hookspec = pluggy.HookspecMarker("nibblefit")
hookimpl = pluggy.HookimplMarker("nibblefit")


@dataclass(frozen=True, order=True, slots=True)
class ApiVersion:
    """Version of the hook contract. Same major and not newer than the host's minor: accepted."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


#: 1.1 added `CommandSpecs`; 1.2 `model_formats`, `data_readers`,
#: `TargetInfo.layer_options`, `TargetInfo.unread` and `Run.reference`. Targets written for an
#: earlier minor version work unchanged.
API = ApiVersion(1, 2)


@dataclass(frozen=True, slots=True)
class TargetInfo:
    """Static facts about a target, readable without importing torch or running anything.

    Attributes:
        name: Equals the entry-point name.
        summary: One line for ``nibblefit targets``.
        api: Contract version the author wrote against.
        numerics: Declared arithmetic; the conformance kit generates its checks from it.
        options: pydantic model of the recipe's ``[target]`` table (without name and part); every
            field has a description. A field that only some steps read lists them (stages,
            phases or step names) in ``json_schema_extra={"read_by": [...]}``: then a change of
            it runs only those again, and no other step can read it. A field that names a file
            of the user's below the recipe's folder says ``{"file": True}`` there: then the file's
            content counts like the option itself.
        parts: Devices, the first is the default; empty if the target has just one.
        manual: Where the documentation is.
        input_range: Real range of the network's input where the recipe's ``data.range`` is
            unset; None leaves the choice to the data ([0, 1]).
        layer_options: pydantic model of one entry of ``[quantize.layers]``, checked when the
            recipe is read; None takes core's where quantization is left to core, and leaves the
            check to the target where it is not.
        part_numerics: Arithmetic of the parts that differ from `numerics`, by part.
        unread: Keys (``quantize.method``) and sections (``prune``) of core's recipe that the target
            never reads, whatever the rest of the recipe says, with what to use instead. A recipe
            that sets one to anything but its default is refused with that advice. What only
            some recipes make idle is for `ContributionSpecs.recipe_problems` and
            `nibblefit.recipe_file.idle.idle_findings`.
    """

    name: str
    summary: str
    api: ApiVersion
    numerics: Numerics
    options: type[BaseModel]
    parts: tuple[str, ...] = ()
    manual: str = ""
    input_range: tuple[float, float] | None = None
    layer_options: type[BaseModel] | None = None
    part_numerics: Mapping[str, Numerics] = field(default_factory=frozen_mapping)
    unread: Mapping[str, str] = field(default_factory=frozen_mapping)

    def numerics_of(self, part: str) -> Numerics:
        """Return the declared arithmetic of a part; empty is the default one."""
        return self.part_numerics.get(part, self.numerics)


@runtime_checkable
class Target(Protocol):
    """A target plugin: an `info`, plus any hooks of the classes below."""

    info: TargetInfo


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A network file that somebody asked for.

    Attributes:
        source: The file named by ``model.source``.
        weights: The file named by ``model.weights``, None if the recipe names none.
        input_shape: Shape of one input without batch axis, as stated by the user; empty if the
            file itself must say.
        arguments: The recipe's ``[model.arguments]``; a reader refuses keys it does not know.
        seed: For whatever the reader makes up, such as weights that no file holds.
        match: ``all`` weights must be there and fit; ``by_name`` takes those that do.
        notes: Sentences that the reader adds for the user: what it left out or ignored.
    """

    source: Path
    weights: Path | None = None
    input_shape: tuple[int, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=frozen_mapping)
    seed: int = 1
    match: str = "all"
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ModelFormat:
    """A kind of network file that a plugin reads; the file states the shape of its input.

    Attributes:
        suffixes: Lower-case ends of file names, such as ``(".prototxt",)``.
        summary: What it is, in a few words.
        read: Returns the canonical float graph with weights. Raises `nibblefit.errors.InputError`
            for a damaged file and `nibblefit.errors.UnsupportedError` for layers that cannot be
            represented.
    """

    suffixes: tuple[str, ...]
    summary: str
    read: Callable[[ModelRequest], Graph]


@dataclass(frozen=True, slots=True)
class RefusedFormat:
    """A kind of network file that nobody reads, and the conversion that works.

    Attributes:
        suffixes: Lower-case ends of file names, such as ``(".tflite",)``.
        summary: What it is, such as ``a TFLite model``.
        hint: What to do instead; a command, best.
    """

    suffixes: tuple[str, ...]
    summary: str
    hint: str


@dataclass(frozen=True, slots=True)
class DataReader:
    """A data set of a plugin, chosen by ``data.source``.

    Attributes:
        name: Word for ``data.source``.
        summary: What it reads, in a few words.
        options: pydantic model of ``data.options``; every field has a description.
        read: Gets the path (``data.path``, below the recipe's folder) and the validated options.
            Returns a `nibblefit.data.material.Material`, which core splits and scales, or a
            complete `nibblefit.data.source.DataSource`.
    """

    name: str
    summary: str
    options: type[BaseModel]
    read: Callable[[Path, Any], Material | DataSource]


class StageSpecs(Protocol):
    """One hook per stage; exactly one implementation answers."""

    @hookspec(firstresult=True)
    def prepare(self, run: Run, graph: Graph) -> Model:
        """Check the captured network against the target and bring it into trainable shape.

        Every layer the target cannot run is refused together, by name, with reason and remedy
        (`nibblefit.errors.UnsupportedError`).
        """

    @hookspec(firstresult=True)
    def train(self, run: Run, model: Model) -> Model:
        """Train; ``run.step_options["phase"]`` is ``float``, ``recover`` or ``qat``."""

    @hookspec(firstresult=True)
    def prune(self, run: Run, model: Model) -> Model:
        """Remove or mask weights; masks are recorded in the returned model."""

    @hookspec(firstresult=True)
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        """Choose formats and return the integer graph."""

    @hookspec(firstresult=True)
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        """Write what the vendor's tools or the device consume, into ``run.folder``."""

    @hookspec(firstresult=True)
    def evaluate(self, run: Run, subject: Model | QuantizedGraph | Artifact) -> Report:
        """Measure on the test split; never change the subject."""


class TargetSpecs(Protocol):
    """Questions core asks the chosen target; core has a default answer to each."""

    @hookspec(firstresult=True)
    def plan(self, recipe: Recipe) -> Plan:
        """Return the order of steps for this recipe."""

    @hookspec(firstresult=True)
    def inspect(self, graph: Graph, part: str, recipe: Recipe | None) -> Report:
        """Return the support and fit table of a float graph, without training.

        One finding per layer: supported as what, or why not and what to do. Never raises for an
        unsupported network.
        """

    @hookspec(firstresult=True)
    def network(self, run: Run, model: Model) -> nn.Module:
        """Return the trainable module of a model in the step's phase.

        The module maps a batch to a tuple of outputs and has ``to_graph() -> Graph``, which
        returns the model's graph with the current weights.
        """

    @hookspec(firstresult=True)
    def simulate(self, run: Run, model: Model, graph: QuantizedGraph) -> nn.Module | None:
        """Return training's own simulation of a quantized graph, for the bit-exactness check.

        Called with integer-coded inputs (int64), the module returns a mapping tensor name → int64
        codes for every tensor of `graph` that it models. Of a graph with states it takes those to
        start from as well, as keyword ``state``. None where training has no simulation.
        """

    @hookspec(firstresult=True)
    def read_back(self, run: Run, artifact: Artifact) -> QuantizedGraph:
        """Parse the compiled files again, by code independent of the writer, into a graph."""


class ContributionSpecs(Protocol):
    """Everyone may contribute; results are collected."""

    @hookspec
    def regularize(self, run: Run, model: Model) -> TrainingPart | Sequence[TrainingPart] | None:
        """Return parts that join the training about to start. Asked once per training."""

    @hookspec
    def recipe_problems(self, recipe: Recipe) -> Sequence[Finding]:
        """Return every problem the plugin sees in a recipe; never raise on the first."""

    @hookspec
    def stage_finished(self, run: Run, report: Report) -> None:
        """Watch a stage end; the return value is ignored."""

    @hookspec
    def model_formats(self) -> Sequence[ModelFormat | RefusedFormat]:
        """Return kinds of network files for ``model.source`` and ``nibblefit inspect`` (API 1.2).

        A suffix belongs to one plugin, and none that core reads itself.
        """

    @hookspec
    def data_readers(self) -> Sequence[DataReader]:
        """Return data sets for ``data.source`` (API 1.2); names that core has are refused."""


class CommandSpecs(Protocol):
    """Commands of the target's own, below ``nibblefit TARGET``; no run takes part."""

    @hookspec
    def add_commands(self, app: typer.Typer) -> None:
        """Register commands on `app`; called only when the user names the target.

        Commands import what they need when they run, so that help stays instant, and raise the
        classes of `nibblefit.errors`; their exit codes are those of every other command.
        """


class Hooks(Protocol):
    """Typed face of the plugin manager: what `Run.hooks` offers to stages."""

    def network(self, run: Run, model: Model) -> nn.Module: ...

    def simulate(self, run: Run, model: Model, graph: QuantizedGraph) -> nn.Module | None: ...

    def regularize(self, run: Run, model: Model) -> tuple[TrainingPart, ...]: ...

    def read_back(self, run: Run, artifact: Artifact) -> QuantizedGraph: ...

    def inspect(self, graph: Graph, part: str, recipe: Recipe | None) -> Report: ...

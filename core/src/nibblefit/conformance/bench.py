"""The bench: one target clamped in, with recipes, runs, tiny networks and samples around it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nibblefit.conformance.cases import Case, cases_for
from nibblefit.conformance.samples import Noise, Silence, StubTask
from nibblefit.errors import RecipeError, UnsupportedError
from nibblefit.fixed.formats import IntArray, Rounding
from nibblefit.fixed.quantize import quantize
from nibblefit.hooks import TargetInfo
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.plan import Stage
from nibblefit.recipe import ModelSection, Recipe, TargetSection
from nibblefit.results import Artifact
from nibblefit.run import Run

if TYPE_CHECKING:
    from nibblefit.plugins import Manager, Plugin

#: Samples used wherever a check needs data.
SAMPLES = 12


class Bench:
    """Runs single stages of a target on the kit's networks and remembers the results.

    Args:
        target: Entry-point name, or a target object (for targets under construction).
        part: One of the target's devices; empty: its default.

    Raises:
        RecipeError: The target has no such device.
    """

    def __init__(self, target: str | object, part: str = "") -> None:
        from nibblefit.plugins import Plugin, load_target

        self.installed = isinstance(target, str)
        self.plugin: Plugin
        if isinstance(target, str):
            self.plugin = load_target(target)
        else:
            name = str(getattr(getattr(target, "info", None), "name", type(target).__name__))
            self.plugin = Plugin(name, target, type(target).__module__.partition(".")[0], "")
        if part and part not in self.info.parts:
            raise RecipeError(
                f"target '{self.name}' has no part '{part}'",
                hint="use one of: "
                + (", ".join(self.info.parts) or "none, it has a single device"),
            )
        self._part = part
        self._scratch = tempfile.TemporaryDirectory(prefix="nibblefit-check-")
        self.folder = Path(self._scratch.name)
        self._models: dict[str, Model] = {}
        self._graphs: dict[str, QuantizedGraph] = {}
        self._artifacts: dict[str, tuple[Artifact, Path]] = {}
        self._count = 0

    def close(self) -> None:
        """Remove everything written."""
        self._scratch.cleanup()

    @property
    def name(self) -> str:
        """Name the target was asked for by."""
        return self.plugin.name

    @property
    def target(self) -> Any:
        """The target object."""
        return self.plugin.value

    @property
    def info(self) -> TargetInfo:
        """Its static facts."""
        return self.plugin.info

    @property
    def numerics(self) -> Numerics:
        """What it declares about the arithmetic of that device."""
        return self.info.numerics_of(self.part)

    @property
    def part(self) -> str:
        """The device that is checked, by default its first one."""
        return self._part or (self.info.parts[0] if self.info.parts else "")

    @cached_property
    def recipe(self) -> Recipe:
        """A minimal recipe that names the target."""
        return Recipe(
            model=ModelSection(source="network.onnx"),
            target=TargetSection(name=self.name, part=self.part),
        )

    @cached_property
    def hooks(self) -> Manager:
        """A plugin manager that holds core and the target."""
        from nibblefit.plugins import Manager

        return Manager(self.plugin)

    @cached_property
    def cases(self) -> list[Case]:
        """The networks the target claims to run."""
        numerics = self.numerics
        return cases_for(numerics.operators, numerics.host_operators)

    def run_for(self, case: Case, stage: Stage, recipe: Recipe | None = None) -> Run:
        """Return the handle for one stage, with fresh folders; None takes the minimal recipe."""
        from nibblefit.recipe_file import target_options

        self._count += 1
        folder = self.folder / f"{self._count:04d}"
        (folder / "result").mkdir(parents=True)
        (folder / "scratch").mkdir()
        return Run(
            recipe=recipe or self.recipe, stage=stage, step=stage.value, part=self.part,
            options=target_options(self.recipe, self.info), folder=folder / "result",
            scratch=folder / "scratch", seed=1, device="cpu", hooks=self.hooks,
            reporter=Silence(), task=StubTask(), data=self.data(case),
            step_options=frozen_mapping({"phase": "float"}), artifact_folder=folder / "result",
            reference=self.model(case) if stage is Stage.COMPILE else None,
        )  # fmt: skip

    def data(self, case: Case) -> Noise:
        """Return seeded noise in the range the target's networks see."""
        shape = case.graph.shapes[case.graph.inputs[0]]
        return Noise(shape, self.info.input_range or (-1.0, 1.0))

    def fresh_model(self, case: Case) -> Model:
        """Prepare the network of a case."""
        run = self.run_for(case, Stage.PREPARE)
        model: Model = self.hooks.call_stage(Stage.PREPARE, run, graph=case.graph)
        return model

    def model(self, case: Case) -> Model:
        """Return the prepared model of a case, made once."""
        if case.name not in self._models:
            self._models[case.name] = self.fresh_model(case)
        return self._models[case.name]

    def fresh_quantized(
        self, case: Case, model: Model, recipe: Recipe | None = None
    ) -> QuantizedGraph:
        """Quantize a model of a case; None takes the minimal recipe."""
        run = self.run_for(case, Stage.QUANTIZE, recipe)
        graph: QuantizedGraph = self.hooks.call_stage(Stage.QUANTIZE, run, model=model)
        return graph

    def quantized(self, case: Case) -> QuantizedGraph:
        """Return the integer graph of a case, made once."""
        if case.name not in self._graphs:
            self._graphs[case.name] = self.fresh_quantized(case, self.model(case))
        return self._graphs[case.name]

    def all_quantized(self) -> list[tuple[str, QuantizedGraph]]:
        """Return case name and integer graph of every case."""
        return [(case.name, self.quantized(case)) for case in self.cases]

    def simulated(
        self, case: Case, graph: QuantizedGraph, codes: Mapping[str, IntArray]
    ) -> dict[str, IntArray] | None:
        """Return training's own simulation of a graph by tensor name, or None if it has none."""
        import torch

        run = self.run_for(case, Stage.TRAIN)
        module = self.hooks.simulate(run, self.model(case), graph)
        if module is None:
            return None
        with torch.no_grad():
            found = module(*(torch.from_numpy(codes[name]) for name in graph.inputs))
        return {name: np.asarray(value, np.int64) for name, value in found.items()}

    def fresh_artifact(self, case: Case) -> tuple[Artifact, Path]:
        """Compile the graph of a case into a new folder."""
        run = self.run_for(case, Stage.COMPILE)
        artifact = self.hooks.call_stage(Stage.COMPILE, run, graph=self.quantized(case))
        return artifact, run.folder

    def artifact(self, case: Case) -> tuple[Artifact, Path]:
        """Return the compiled files of a case, made once; UnsupportedError if it is refused."""
        if case.name not in self._artifacts:
            self._artifacts[case.name] = self.fresh_artifact(case)
        return self._artifacts[case.name]

    def artifacts(self) -> list[tuple[Case, Artifact, Path]]:
        """Return every case that compiles with its files."""
        found = []
        for case in self.cases:
            try:
                found.append((case, *self.artifact(case)))
            except UnsupportedError:
                continue  # artifact.compile has judged the refusal
        return found

    def read_back(self, case: Case, artifact: Artifact, folder: Path) -> QuantizedGraph:
        """Parse compiled files again, from a copy of nothing but the files."""
        from dataclasses import replace

        run = self.run_for(case, Stage.COMPILE)
        return self.hooks.read_back(replace(run, folder=folder, artifact_folder=folder), artifact)

    def images(self, case: Case) -> npt.NDArray[np.float32]:
        """Return a few input samples of a case."""
        return self.data(case).inputs[:SAMPLES]

    def sample_codes(self, case: Case, graph: QuantizedGraph) -> dict[str, IntArray]:
        """Return the samples as input codes."""
        default = self.numerics.inputs.rounding
        rounding = Rounding(graph.metadata.get("input_rounding", default))
        images = self.images(case).astype(np.float64)
        return {
            name: quantize(images, graph.tensors[name].format, rounding) for name in graph.inputs
        }

    def extreme_codes(self, graph: QuantizedGraph) -> dict[str, IntArray]:
        """Return lowest, highest, alternating and random codes: where arithmetic breaks first."""
        random = np.random.default_rng(7)
        found = {}
        for name in graph.inputs:
            tensor = graph.tensors[name]
            lo, hi = tensor.format.lo, tensor.format.hi
            flat = int(np.prod(tensor.shape, dtype=np.int64))
            rows = [np.full(flat, lo), np.full(flat, hi), np.where(np.arange(flat) % 2, lo, hi)]
            rows += list(random.integers(lo, hi, (3, flat), endpoint=True))
            found[name] = np.asarray(rows, np.int64).reshape(len(rows), *tensor.shape)
        return found

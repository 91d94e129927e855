"""Toy target, extension and sources for the pipeline tests; none of them needs torch."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from nibblefit.fixed.formats import Accumulator, Format, Rounding, Scale
from nibblefit.fixed.steps import Clamp, ShiftRight
from nibblefit.hooks import API, TargetInfo, hookimpl
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode, QuantizedTensor
from nibblefit.ir.store import digest
from nibblefit.models import Model
from nibblefit.plan import Gate, Plan, Stage, Step
from nibblefit.plugins import Plugin, plugin_of
from nibblefit.recipe import Recipe
from nibblefit.results import Artifact, ArtifactFile, Report
from nibblefit.run import Run
from nibblefit.runner import RunOutcome, run

RECIPE = """\
[model]
source = "net.py:make"

[target]
name = "toy"
gain = 1.0

[data]
source = "npz"

[train]
epochs = 3
"""


class ToyOptions(BaseModel):
    """Options of the toy target."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gain: float = Field(default=1.0, description="Factor on the trained weights.")
    quality: float = Field(default=0.9, description="Metric that evaluate reports.")


def toy_info(**changes: Any) -> TargetInfo:
    """Return the toy target's info with some fields changed."""
    info = TargetInfo(
        name="toy", summary="A toy.", api=API, numerics=Numerics(), options=ToyOptions
    )
    return replace(info, **changes)


DEFAULT_PLAN: Plan = (
    Step(Stage.PREPARE, "prepare"),
    Step(Stage.TRAIN, "float", options=frozen_mapping({"phase": "float"})),
    Step(Stage.EVALUATE, "evaluate_float"),
    Gate("floor", "evaluate_float", "top1", at_least=0.5, advice="raise target.quality"),
    Step(Stage.QUANTIZE, "quantize"),
    Step(Stage.COMPILE, "compile"),
    Step(Stage.EVALUATE, "evaluate", subject="quantize"),
)


def toy_graph(name: str = "toy") -> Graph:
    """Return one linear layer, 4 to 3."""
    weights = np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(3, 4)
    weights.flags.writeable = False
    node = Node("fc", Op.LINEAR, ("x", "w"), ("fc",))
    return Graph(
        name, ("x",), ("fc",), (node,), frozen_mapping({"x": (4,), "fc": (3,)}),
        frozen_mapping({"w": weights}),
    )  # fmt: skip


def quantized(weights: Any, name: str = "toy") -> QuantizedGraph:
    """Return the integer layer of float weights: 4 fractional bits, shift 4, int8 out."""
    codes = np.clip(np.rint(np.asarray(weights, np.float64) * 16), -128, 127).astype(np.int64)
    codes.flags.writeable = False
    fmt = Format(8, scale=Scale.power_of_two(4))
    node = QuantizedNode(
        "fc", Op.LINEAR, ("x", "w"), ("fc",),
        steps=(ShiftRight(4, Rounding.HALF_UP), Clamp(-128, 127)),
        accumulator=Accumulator(32),
    )  # fmt: skip
    tensors = {n: QuantizedTensor(n, s, fmt) for n, s in (("x", (4,)), ("w", (3, 4)), ("fc", (3,)))}
    return QuantizedGraph(
        name, "toy", ("x",), ("fc",), (node,), frozen_mapping(tensors), frozen_mapping({"w": codes})
    )


class Toy:
    """A complete target. `moment` is called at named points, so that tests can fail there."""

    def __init__(self, plan: Plan = DEFAULT_PLAN, *, pause: float = 0.0) -> None:
        self.info = toy_info()
        self.moment: Callable[[str], None] = lambda _name: None
        self.calls: list[str] = []
        self._plan = plan
        self._pause = pause

    def _begin(self, run: Run) -> None:
        self.calls.append(run.step)
        time.sleep(self._pause)
        self.moment(f"{run.step}:begin")

    @hookimpl
    def plan(self, recipe: Recipe) -> Plan:
        return self._plan

    @hookimpl
    def prepare(self, run: Run, graph: Graph) -> Model:
        self._begin(run)
        return Model(graph)

    @hookimpl
    def train(self, run: Run, model: Model) -> Model:
        self._begin(run)
        checkpoint = run.scratch / "checkpoint.json"
        epochs = run.recipe.train_for(run.step).epochs
        done, weights = 0, np.asarray(model.graph.constants["w"])
        if checkpoint.exists():
            saved = json.loads(checkpoint.read_text())
            done, weights = saved["epoch"], np.asarray(saved["weights"], np.float32)
        for epoch in range(done, epochs):
            noise = np.random.default_rng([run.seed, epoch]).normal(size=weights.shape)
            weights = (weights * run.options.gain + 0.1 * noise).astype(np.float32)
            temporary = checkpoint.with_suffix(".new")
            temporary.write_text(json.dumps({"epoch": epoch + 1, "weights": weights.tolist()}))
            temporary.replace(checkpoint)
            time.sleep(self._pause / 3)
            self.moment(f"{run.step}:epoch{epoch}")
        (run.folder / "log.csv").write_text(f"epochs,{epochs}\n")
        phase = str(run.step_options.get("phase", "float"))
        return replace(model.with_graph(model.graph.with_constants({"w": weights})), phase=phase)

    @hookimpl
    def prune(self, run: Run, model: Model) -> Model:
        self._begin(run)
        weights = np.array(model.graph.constants["w"])
        weights.flat[np.argmin(np.abs(weights) + 10 * (weights == 0))] = 0.0
        mask = {"w": weights != 0}
        return replace(model.with_graph(model.graph.with_constants({"w": weights})), masks=mask)

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        self._begin(run)
        return quantized(model.graph.constants["w"])

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        self._begin(run)
        path = run.folder / "out" / "weights.json"
        path.parent.mkdir()
        path.write_text(json.dumps(graph.constants["w"].tolist()))
        self.moment(f"{run.step}:written")
        sha = hashlib.sha256(path.read_bytes()).hexdigest()
        files = (ArtifactFile("weights", PurePosixPath("out/weights.json"), sha),)
        return Artifact("toy", run.part, digest(graph), files)

    @hookimpl
    def read_back(self, run: Run, artifact: Artifact) -> QuantizedGraph:
        codes = json.loads((run.folder / artifact.files[0].path).read_text())
        return quantized(np.asarray(codes) / 16.0, name="from file")

    @hookimpl
    def evaluate(self, run: Run, subject: Model | QuantizedGraph | Artifact) -> Report:
        self._begin(run)
        kind = type(subject).__name__
        if isinstance(subject, Artifact):
            subject = run.hooks.read_back(run, subject)
        constants = subject.constants if isinstance(subject, QuantizedGraph) else (
            subject.graph.constants)  # fmt: skip
        weights = np.asarray(constants["w"], np.float64)
        metrics = {
            "top1": float(run.options.quality),
            "zeros": float((weights == 0).mean()),
            "sum": float(weights.sum()),
        }
        return Report(kind, frozen_mapping(metrics))


class Watcher:
    """A toy extension: wraps evaluate and writes down every finished stage."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    @hookimpl(wrapper=True)
    def evaluate(self, run: Run) -> Any:
        report = yield
        return replace(report, metrics=frozen_mapping({**report.metrics, "watched": 1.0}))

    @hookimpl
    def stage_finished(self, run: Run, report: Report) -> None:
        self.seen.append((run.step, report.subject))


@dataclass
class ToyTask:
    """A task that only names its metric."""

    name: str = "classification"
    metric: str = "top1"
    maximize: bool = True


@dataclass
class ToySources:
    """Sources without torch."""

    graph: Graph = field(default_factory=toy_graph)
    toy_task: ToyTask = field(default_factory=ToyTask)

    def device(self, recipe: Recipe) -> str:
        return "cpu"

    def task(self, recipe: Recipe, info: TargetInfo) -> Any:
        return self.toy_task

    def data(self, recipe: Recipe, info: TargetInfo) -> Any:
        return None

    def calibration(self, recipe: Recipe, info: TargetInfo) -> Any:
        return None

    def network(self, recipe: Recipe, info: TargetInfo) -> Graph:
        return self.graph


class Recorder:
    """A reporter that remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.warned.append(message)

    def progress(self, label: str, total: int | None) -> Any:
        raise AssertionError("the toys show no progress")


def toy_recipe(**overrides: Any) -> Recipe:
    """Return the toy recipe; keys have ``__`` for the dot."""
    import tomli

    from nibblefit.recipe_file import override_recipe

    base = Recipe.model_validate(tomli.loads(RECIPE))
    return override_recipe(base, {k.replace("__", "."): v for k, v in overrides.items()})


def go(folder: Path, toy: Toy | None = None, recipe: Recipe | None = None,
       extensions: Sequence[Plugin] = (), **options: Any) -> RunOutcome:  # fmt: skip
    """Run the toy target in a folder."""
    options = {"sources": ToySources(), **options}
    return run(
        recipe or toy_recipe(), folder, target=plugin_of(toy or Toy()), extensions=extensions,
        **options,
    )  # fmt: skip


def ran(outcome: RunOutcome) -> list[str]:
    """Return the names of the steps that were not reused."""
    return [record.name for record in outcome.steps if not record.reused]


def main() -> None:
    """Run slowly in the folder given on the command line; for the kill tests."""
    print("ready", flush=True)
    outcome = go(Path(sys.argv[1]), Toy(pause=float(sys.argv[2])))
    print(json.dumps(outcome.digests))


if __name__ == "__main__":
    main()

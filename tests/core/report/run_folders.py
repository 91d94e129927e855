"""Make a finished run folder from values, without running anything."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from nibblefit.fixed.formats import Format, Scale
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode, QuantizedTensor
from nibblefit.ir.store import digest
from nibblefit.models import Model
from nibblefit.recipe import ModelSection, Recipe, TargetSection
from nibblefit.results import Artifact, ArtifactFile, Finding, Report, Status, Table
from nibblefit.workspace import RunFolder, Value

MEMORY = (
    {"kind": "banks", "title": "Weight memory", "unit": "words", "bank": "processor",
     "used": [3, 5], "capacity": 768},
    {"kind": "timeline", "title": "Data memory", "unit": "bytes", "capacity": 100,
     "spans": [{"layer": "fc", "access": "read", "start": 0, "stop": 4}]},
)  # fmt: skip
#: Step → step whose result goes in.
TAKEN = {"float": "prepare", "evaluate_float": "float", "qat": "float", "quantize": "qat",
         "compile": "quantize", "evaluate": "quantize"}  # fmt: skip
HISTORY = ({"train_loss": 2.0, "val_top1": 0.5}, {"train_loss": 1.0, "val_top1": 0.75})


def float_graph(*, bias: bool = True) -> Graph:
    """Return one linear layer of 4 inputs and 3 outputs: 15 float constants, 60 bytes."""
    constants = {"fc.weight": np.ones((3, 4), np.float32)}
    if bias:
        constants["fc.bias"] = np.zeros(3, np.float32)
    node = Node("fc", Op.LINEAR, ("x", *constants), ("fc",))
    shapes = frozen_mapping({"x": (4,), "fc": (3,)})
    return Graph("tiny", ("x",), ("fc",), (node,), shapes, frozen_mapping(constants))


def integer_graph() -> QuantizedGraph:
    """Return the same layer with 4-bit weights (6 bytes) and 8-bit biases (3 bytes)."""
    weights, bias = np.arange(-6, 6).reshape(3, 4), np.zeros(3, np.int64)
    scale = Scale.power_of_two(3)
    tensors = {
        "x": QuantizedTensor("x", (4,), Format(8, scale=scale)),
        "fc": QuantizedTensor("fc", (3,), Format(32, scale=Scale.power_of_two(6))),
        "fc.weight": QuantizedTensor("fc.weight", (3, 4), Format(4, scale=scale)),
        "fc.bias": QuantizedTensor("fc.bias", (3,), Format(8, scale=Scale.power_of_two(6))),
    }
    node = QuantizedNode("fc", Op.LINEAR, ("x", "fc.weight", "fc.bias"), ("fc",))
    return QuantizedGraph("tiny", "toychip", ("x",), ("fc",), (node,), frozen_mapping(tensors),
                          frozen_mapping({"fc.weight": weights, "fc.bias": bias}),
                          metadata=frozen_mapping({"class_names": ("a", "b", "c")}))  # fmt: skip


def integer_report(*, exact: bool = True) -> Report:
    """Return the evaluation of the integer graph."""
    status = Status.PASSED if exact else Status.FAILED
    message = "judge and engine agree on 1,234 integers"
    findings = (Finding("exact.engine", status, message, value=1234.0, unit="integers"),)
    table = Table("Signal to noise", ("layer", "SQNR (dB)"), (("fc", 31.5), ("out", 12.0)))
    confusion = [[5, 1, 0], [0, 6, 0], [0, 2, 4]]
    arrays = {"confusion": confusion,
              "histogram:fc": {"edges": [0.0, 1.0, 2.0], "counts": [3, 4]}}  # fmt: skip
    return Report("integer graph", frozen_mapping({"top1": 0.8333}), findings, (table,),
                  frozen_mapping(arrays))  # fmt: skip


def make_run(folder: Path, *, memory: Any = MEMORY, report: Report | None = None,
             charts: Mapping[str, Any] | None = None) -> Path:  # fmt: skip
    """Write a run folder with seven finished steps and one failed one.

    Charts go to the kind of value they are given for: model, graph or artifact.
    """
    charts = charts or {}
    run = RunFolder(folder)
    run.create()
    recipe = Recipe(model=ModelSection(source="net.py:f"), target=TargetSection(name="toychip"))
    run.write_recipe(recipe)
    run.journal.write("run", nibblefit="0.1.0", target="target 'toychip' (toy 1.0)", recipe="00")
    model = Model(float_graph(), extra=frozen_mapping({"charts": charts.get("model", ())}))
    graph = integer_graph()
    metadata = frozen_mapping({**graph.metadata, "charts": charts.get("graph", ())})
    graph = replace(graph, metadata=metadata)
    # As after folding: training for integers changes what there is to count.
    tuned = Model(
        float_graph(bias=False), phase="qat", history=tuple(map(frozen_mapping, HISTORY * 2))
    )
    trained = Model(float_graph(), phase="float", history=tuple(map(frozen_mapping, HISTORY)))
    floats = Report("float model", frozen_mapping({"top1": 0.8889, "loss": 0.25}))
    values: Mapping[str, tuple[str, Value]] = {
        "prepare": ("prepare", model),
        "float": ("train", trained),
        "evaluate_float": ("evaluate", floats),
        "qat": ("train", tuned),
        "quantize": ("quantize", graph),
        "compile": ("compile", _artifact(graph, memory, charts.get("artifact", ()))),
        "evaluate": ("evaluate", report or integer_report()),
    }
    run.write_plan((*values, "last"))
    digests: dict[str, str] = {}
    for number, (name, (stage, value)) in enumerate(values.items(), start=1):
        step = run.step((f"{number:02d}-{name}",))
        new = step.begin()
        if stage == "compile":
            (new / "net.yaml").write_text("layers: 1\n", encoding="utf-8")
        run.journal.write("started", step=name, reason="train.epochs 30 → 40")
        ingredients = {"step": name, "plan.phase": "qat" if name == "qat" else "float"}
        if name in TAKEN:
            ingredients[f"result of {TAKEN[name]}"] = digests[TAKEN[name]]
        manifest = step.commit(value, step=name, stage=stage, ingredients=ingredients,
                               seconds=12.5)  # fmt: skip
        digests[name] = manifest.digest
        run.journal.write("finished", step=name, seconds=12.5, digest="")
    run.journal.write("started", step="last", reason="not run yet")
    run.journal.write("failed", step="last", problem="no")
    return folder


def _artifact(graph: QuantizedGraph, memory: Any, charts: Any) -> Artifact:
    sha = hashlib.sha256(b"layers: 1\n").hexdigest()
    files = (ArtifactFile("yaml", PurePosixPath("net.yaml"), sha),)
    notes = frozen_mapping({"memory": memory, "charts": charts})
    return Artifact("toychip", "toy1", digest(graph), files, notes)

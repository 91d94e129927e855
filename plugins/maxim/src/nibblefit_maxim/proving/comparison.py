"""The vendor's plans against ours: the same networks, planned anew from the graph alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nibblefit_maxim.lift import lift
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.plan import MemoryPlan
from nibblefit_maxim.memory.planner import plan_memory
from nibblefit_maxim.parts import part_named
from nibblefit_maxim.proving.parsed import parsed_plan
from nibblefit_maxim.proving.prover import prove
from nibblefit_maxim.proving.violation import Violation
from nibblefit_maxim.reading.checkpoint import load_checkpoint
from nibblefit_maxim.reading.entries import read_entries
from nibblefit_maxim.reading.network import check_network, read_files
from nibblefit_maxim.reading.problems import Problems


@dataclass(frozen=True, slots=True)
class PlanComparison:
    """One network, planned by the vendor's authors and by us.

    Attributes:
        net: Its name.
        ours, vendor: The plans.
        ours_wrong, vendor_wrong: What the proofs find; nothing, if all is well.
        seconds: Time that our planning took.
    """

    net: str
    ours: MemoryPlan
    vendor: MemoryPlan
    ours_wrong: tuple[Violation, ...]
    vendor_wrong: tuple[Violation, ...]
    seconds: float

    def row(self) -> dict[str, Any]:
        """Return the figures, for tables and JSON."""
        return {
            "net": self.net,
            "part": self.ours.part.name,
            "layers_ours": len(self.ours.layers),
            "layers_vendor": len(self.vendor.layers),
            "weight_words_ours": max(self.ours.kernel_words),
            "weight_words_vendor": max(self.vendor.kernel_words),
            "cycles_ours": self.ours.cycles,
            "cycles_vendor": self.vendor.cycles,
            "seconds": self.seconds,
            "is_proven": not self.ours_wrong,
        }


def plan_comparison(nets: Path) -> list[dict[str, Any]]:
    """Return one row of figures per network; see `PlanComparison`.

    Args:
        nets: Folder with a folder per network: ``net.yaml``, ``quantized.pth.tar``, ``input.npz``
            and ``expected.json``.
    """
    return [comparison.row() for comparison in compare_plans(nets)]


def compare_plans(nets: Path) -> Iterator[PlanComparison]:
    """Yield both plans of every network of a folder, each with its proof."""
    for folder in sorted(path for path in nets.iterdir() if (path / "net.yaml").is_file()):
        yield compare_plan(folder)


def compare_plan(folder: Path) -> PlanComparison:
    """Return both plans of one network."""
    facts = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    part, flags = part_named(facts["device"]), facts["flags"].split()
    with np.load(folder / "input.npz") as arrays:
        shape = arrays["x"].shape
    files = folder / "net.yaml", folder / "quantized.pth.tar"
    graph = read_files(*files, shape, part, flags=flags)
    needs = [
        LayerNeeds(item.layer, item.weight_bits, item.bias is not None and bool(item.bias.any()))
        for item in lift(graph)
    ]
    begin = time.perf_counter()
    ours = plan_memory(needs, part, graph.inputs[0], graph.outputs)
    seconds = time.perf_counter() - begin
    entry = read_entries(files[0].read_text(encoding="utf-8"), files[0].name, part)
    parameters = load_checkpoint(files[1]).layers
    problems = Problems(files[0].name)
    placed = check_network(
        entry, parameters, shape, part, problems, fifo="--fifo" in flags
    ).placed  # fmt: skip
    layers, vendor = parsed_plan(entry, placed, part)
    return PlanComparison(
        folder.name, ours, vendor,
        tuple(prove([need.layer for need in ours.needs], ours, part)),
        tuple(prove(layers, vendor, part)), seconds,
    )  # fmt: skip

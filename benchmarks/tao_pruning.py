"""From a module to a smaller module, beside Torch-Pruning in one process, both taking turns."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.resnet18 import resnet18
from benchmarks.section import Grid, Section
from nibblefit.nn.capture import capture
from nibblefit.nn.network import Network
from nibblefit.pruning.coupling import couple
from nibblefit.pruning.cutting import cut
from nibblefit_tao.networks.ssd_resnet import SsdResNet18
from nibblefit_tao.pruning.curve import curve, solve
from nibblefit_tao.pruning.decisions import decide, rank
from nibblefit_tao.pruning.settings import PruneSettings

ROUNDS = 5
#: Share of the parameters that stays; Torch-Pruning's ratio of channels leaves about the same.
RATIO, CHANNELS, GRANULARITY = 0.26, 0.5, 8
THRESHOLDS = 100
THEIRS = "torch_pruning"

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Subject:
    """A network to prune.

    Attributes:
        heads: Modules that Torch-Pruning is told to leave whole; ours finds them.
    """

    name: str
    build: Callable[[], nn.Module]
    shape: Shape
    heads: tuple[str, ...]


def ssd() -> nn.Module:
    """Return the detector in full width with the weights of seed 0."""
    torch.manual_seed(0)
    return SsdResNet18(3).eval()


SUBJECTS = (
    Subject("ResNet-18, 3 × 224 × 224", resnet18, (3, 224, 224), ("head",)),
    Subject("SSD-ResNet-18, 3 × 300 × 300", ssd, (3, 300, 300),
            tuple(f"ssd_{kind}_{level}" for level in range(6) for kind in ("loc", "conf"))),
)  # fmt: skip


def ours(network: nn.Module, subject: Subject) -> dict[str, float]:
    """Capture, rank, solve for the ratio and cut; return seconds of the parts and what is left."""
    marks = [time.perf_counter()]
    graph = capture(network, subject.shape)
    marks.append(time.perf_counter())
    coupling = couple(graph)
    rankings = rank(coupling, PruneSettings(granularity=GRANULARITY))
    small = cut(decide(coupling, rankings, solve(coupling, rankings, ratio=RATIO)))
    module = Network(small)
    marks.append(time.perf_counter())
    curve(coupling, rankings, np.linspace(0.0, 1.0, THRESHOLDS))
    marks.append(time.perf_counter())
    capturing, pruning, curving = np.diff(marks).tolist()
    return {"seconds": capturing + pruning, "capture": capturing, "prune": pruning,
            "curve": curving, "left": _size(module)}  # fmt: skip


def theirs(network: nn.Module, subject: Subject) -> dict[str, float]:
    """Build Torch-Pruning's pruner, which traces the network, and take its one step."""
    tp = import_module(THEIRS)
    heads = [network.get_submodule(name) for name in subject.heads]
    example = torch.randn(1, *subject.shape, generator=torch.Generator().manual_seed(1))
    started = time.perf_counter()
    pruner = tp.pruner.MagnitudePruner(
        network, example, importance=tp.importance.MagnitudeImportance(p=2),
        pruning_ratio=CHANNELS, ignored_layers=heads, round_to=GRANULARITY,
    )  # fmt: skip
    pruner.step()
    return {"seconds": time.perf_counter() - started, "left": _size(network)}


def pruning_race(rounds: int = ROUNDS) -> Section:
    """Measure both and return the section of the results page."""
    torch.set_num_threads(1)
    why = _missing()
    rows: list[Sequence[Any]] = []
    for subject in SUBJECTS:
        found = _take_turns(subject, rounds, with_theirs=not why)
        rows.append(_row(subject, found))
        print(f"{subject.name}: {found}", flush=True)
    columns = ("network", "ours, module to module [s]", "of which capture [s]",
               "of which pruning [s]", "Torch-Pruning [s]", "ratio",
               f"curve of {THRESHOLDS} thresholds [s]", "left, ours", "left, theirs")  # fmt: skip
    note = (
        f"Random weights (seed 0), one thread, medians of {rounds} rounds after one that is not "
        "counted; the two take turns. Ours: the capture, which copies all weights, follows shapes "
        "at the full input size and proves the graph in float64 (stand-ins for convolutions, at "
        "64 to 95 pixels a side); groups and scores, the threshold solved for a quarter of the "
        "parameters, the smaller network as a module; the given module stays as it is. "
        "Torch-Pruning: pruner with its dependency graph, for which it runs the network at the "
        f"full input size, half of the channels in multiples of {GRANULARITY}, heads listed by "
        "hand; it cuts the given module. Ratio: "
        "our time over theirs. Left: share of the parameters. The curve counts parameters and MACs "
        "at every threshold, groups and scores at hand."
    )
    if why:
        note += f" Skipped: Torch-Pruning, {why}."
        print(f"Torch-Pruning is skipped: {why}", flush=True)
    return Section("tao_pruning", "TAO: pruning beside Torch-Pruning", "make bench",
                   [Grid("", columns, rows)], note)  # fmt: skip


def _take_turns(subject: Subject, rounds: int, *, with_theirs: bool) -> dict[str, dict[str, float]]:
    network = subject.build()
    whole = _size(network)
    contenders = {"ours": ours} | ({"theirs": theirs} if with_theirs else {})
    found: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, once in contenders.items():
            one = once(copy.deepcopy(network), subject)
            if turn:
                found[name].append({**one, "left": one["left"] / whole})
    return {name: _medians(runs) for name, runs in found.items()}


def _medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def _row(subject: Subject, found: Mapping[str, Mapping[str, float]]) -> list[str]:
    mine, other = found["ours"], found.get("theirs")
    return [
        subject.name, f"{mine['seconds']:.2f}", f"{mine['capture']:.2f}", f"{mine['prune']:.2f}",
        f"{other['seconds']:.2f}" if other else "–",
        f"{mine['seconds'] / other['seconds']:.2f}" if other else "–",
        f"{mine['curve']:.3f}", f"{mine['left']:.1%}", f"{other['left']:.1%}" if other else "–",
    ]  # fmt: skip


def _missing() -> str:
    """Return why the peer cannot run, empty if it can."""
    try:
        import_module(THEIRS)
    except ImportError as problem:
        return f"package {problem.name} is not installed"
    return ""


def _size(network: nn.Module) -> int:
    statistics_of = (b for name, b in network.named_buffers() if "num_batches" not in name)
    return sum(p.numel() for p in network.parameters()) + sum(b.numel() for b in statistics_of)

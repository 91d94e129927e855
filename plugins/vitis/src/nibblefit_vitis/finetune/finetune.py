"""Layer-wise training of weights and biases under frozen formats.

Layers are visited in order. Each learns, on the rounded inputs that the layers before it make, to
give the output of the float layer; what it learned stays only where the network as a whole comes
nearer to the float network. Source of method and numbers: pytorch_nndct 3.5, fast finetune.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nibblefit.errors import InputError
from nibblefit.ir.graph import FloatConstant, Graph
from nibblefit.ir.ops import WEIGHTED
from nibblefit.run import ProgressBar
from nibblefit_vitis.finetune.cutting import alive, by_group, part
from nibblefit_vitis.finetune.layer import FinetuneSettings, LayerTask, train_layer
from nibblefit_vitis.finetune.progress import Progress, digest_of
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.grouping import Group, groups
from nibblefit_vitis.settings import Device, NetworkSetting
from nibblefit_vitis.simulation import Simulation, fake_quantized

#: Tensors alive at a place of the network, batch by batch.
_Batches = list[dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class _Visit:
    """A group with weights and its place among the nodes."""

    group: Group
    first: int
    last: int


def fast_finetune(
    graph: Graph, formats: NetworkFormats, setting: NetworkSetting,
    batches: Iterable[npt.NDArray[np.float32]], *, reference: Graph | None = None,
    settings: FinetuneSettings | None = None, bar: ProgressBar | None = None,
    folder: Path | None = None,
) -> tuple[Graph, tuple[str, ...]]:  # fmt: skip
    """Return the graph with trained weights and biases, and notes; formats stay as they are.

    Args:
        graph: A prepared float graph with one input.
        formats: Aligned formats of its tensors.
        setting: What they were made for.
        batches: Calibration inputs; all are kept, with what is alive at one layer.
        reference: The float network to come near to, which has the same nodes; None is `graph`
            itself, which is right only while its biases are not corrected.
        settings: How long and how strongly.
        bar: Moves on by one per layer (`layer_count`), with the network's loss.
        folder: Where finished layers are kept, so that a run that was stopped goes on.

    Raises:
        InputError: There are no batches.
    """
    chosen = settings or FinetuneSettings()
    wanted = by_group(reference or graph)
    start = wanted.with_constants(graph.constants)
    tuner = _Tuner(start, formats, setting, reference=wanted, settings=chosen, batches=batches)
    key = digest_of((start, wanted), formats, (setting, chosen), tuner.real)
    progress = Progress(folder, key)
    notes = tuner.run(bar, progress)
    return graph.with_constants(tuner.graph.constants), notes


def layer_count(graph: Graph) -> int:
    """Return how many layers are visited."""
    return len(_visits(by_group(graph)))


def _visits(graph: Graph) -> tuple[_Visit, ...]:
    place = {node.name: number for number, node in enumerate(graph.nodes)}
    return tuple(
        _Visit(group, place[group.head.name], place[group.members[-1].name] + 1)
        for group in sorted(groups(graph), key=lambda group: place[group.head.name])
        if group.head.op in WEIGHTED and group.head.inputs[1] in graph.constants
    )


class _Tuner:
    """The network at one place: tensors alive there, in the float and in the rounded network."""

    def __init__(
        self, graph: Graph, formats: NetworkFormats, setting: NetworkSetting, *,
        reference: Graph, settings: FinetuneSettings,
        batches: Iterable[npt.NDArray[np.float32]],
    ) -> None:  # fmt: skip
        self.graph, self.float_graph = graph, reference
        self.formats, self.setting, self.settings = formats, setting, settings
        (name,) = graph.inputs
        self.real: _Batches = [{name: torch.from_numpy(np.array(batch))} for batch in batches]
        if not self.real:
            raise InputError(
                "fast finetune got no calibration data",
                hint="set quantize.calibration_samples to 1 or more",
            )
        self.rounded: _Batches = [dict(batch) for batch in self.real]
        self.place = 0
        plain = self._simulation(reference, rounds=False)
        self.wanted = [plain(batch[name]) for batch in self.real]

    def run(self, bar: ProgressBar | None, progress: Progress) -> tuple[str, ...]:
        before = loss = self._network_loss(self.graph)
        visits, changed = _visits(self.graph), 0
        for visit in visits:
            self._go_to(visit.first)
            layer = visit.group.head.name
            kept = progress.layer(layer)
            if kept is None:
                kept, loss = self._tuned(visit, loss)
                progress.keep(layer, kept, loss)
            else:
                loss = progress.loss(layer)
            changed += bool(kept)
            self.graph = self.graph.with_constants(kept)
            if bar is not None:
                bar.advance(1, loss=loss)
        note = (
            f"fast finetune changed {changed} of {len(visits)} layers: root mean square error at "
            f"the outputs {before:.4g} → {loss:.4g}"
        )
        return (note,)

    def _tuned(self, visit: _Visit, loss: float) -> tuple[Mapping[str, FloatConstant], float]:
        """Return a layer's trained constants (empty: nothing helped) and the network's loss."""
        inside = part(self.float_graph, visit.first, visit.last)
        end, given = visit.group.end, visit.group.head.inputs[0]
        targets = [self._through(inside, batch, rounds=False)[end] for batch in self.real]
        task = LayerTask(
            visit.group, self.graph.constants, self.float_graph.constants, self.formats,
            self.setting, [batch[given] for batch in self.rounded], targets,
        )  # fmt: skip

        def judge(constants: Mapping[str, FloatConstant]) -> float:
            return self._network_loss(self.graph.with_constants(constants))

        return train_layer(task, self.settings, loss, judge)

    def _go_to(self, place: int) -> None:
        """Move on to a node, in both networks."""
        if place == self.place:
            return
        for graph, state, rounds in ((self.float_graph, self.real, False),
                                     (self.graph, self.rounded, True)):  # fmt: skip
            between = part(graph, self.place, place)
            names = alive(graph, place)
            for number, batch in enumerate(state):
                found = {**batch, **self._through(between, batch, rounds=rounds)}
                state[number] = {name: found[name] for name in names}
        self.place = place

    def _through(self, inside: Graph, batch: Mapping[str, Tensor], *,
                 rounds: bool) -> Mapping[str, Tensor]:  # fmt: skip
        return self._simulation(inside, rounds).tensors(*(batch[n] for n in inside.inputs))

    def _simulation(self, inside: Graph, rounds: bool) -> Simulation:
        """Return the rounded network, or the float network without the device's constants."""
        if rounds:
            return fake_quantized(inside, self.formats, self.setting)
        return fake_quantized(inside, NetworkFormats(), replace(self.setting, device=Device.CPU))

    def _network_loss(self, graph: Graph) -> float:
        """Return the root mean square error at the outputs, over all batches."""
        inside = part(graph, self.place, len(graph.nodes))
        simulation = self._simulation(inside, rounds=True)
        total, count = 0.0, 0
        for batch, wanted in zip(self.rounded, self.wanted, strict=True):
            found: Sequence[Tensor] = simulation(*(batch[name] for name in inside.inputs))
            for one, other in zip(found, wanted, strict=True):
                total += float((one.double() - other.double()).square().sum())
                count += one.numel()
        return float((total / max(1, count)) ** 0.5)

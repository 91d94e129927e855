"""The network that trains with quantization in the loop and learns its thresholds (TQT).

It computes what the DPU computes, in floating point: every parameter and the end of every group is
rounded, with the formats that hardware alignment leaves of the trained thresholds. Batch norms are
folded into the rounding. While their statistics still follow the data, weights are rounded as the
running statistics would scale them and divided by that scale again, so that the batch norm behind
them works as one; afterwards, and outside training, the layer is the folded one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.nn.execute import IN_TRAINING, outputs_of
from nibblefit.nn.network import Network
from nibblefit.training.ranks import sum_over_ranks
from nibblefit_vitis.alignment import align
from nibblefit_vitis.formats import FixPosition, NetworkFormats
from nibblefit_vitis.grouping import carriers
from nibblefit_vitis.options import Direction
from nibblefit_vitis.preparation.constants import HARD_SWISH_GATE_POSITION
from nibblefit_vitis.qat.folding import folded, norm_affine, norm_factor
from nibblefit_vitis.qat.places import (
    Place,
    folded_graph,
    joined,
    network_formats,
    norms_behind,
    places,
    qat_setting,
    trainable_graph,
)
from nibblefit_vitis.qat.ranges import (
    activation_threshold,
    log2_of_position,
    log2_threshold,
    parameter_threshold,
    position_of,
)
from nibblefit_vitis.qat.rounding import Codes, floored, round_to_codes
from nibblefit_vitis.settings import NetworkSetting, RoundMode
from nibblefit_vitis.simulation.effective import has_device_constants
from nibblefit_vitis.simulation.operators import run_on_device

#: Name of the trained parameter: one log2 threshold per rounded tensor.
THRESHOLDS = "vitis_thresholds"
_SEEN = "vitis_seen"
#: The gate inside a hard swish, rounded with a gradient.
_GATE = Codes(HARD_SWISH_GATE_POSITION, -128, 127, RoundMode.HALF_UP)


class QatNetwork(Network):
    """Executes a float graph as the DPU will, with trained thresholds.

    Attributes:
        freezes_statistics: Batch norm no longer follows the data.
        freezes_thresholds: Thresholds are no longer trained.
        quantizes: False executes the float network.

    Args:
        graph: The float graph, batch norm and all.
        setting: What is asked for every tensor.
        thresholds: log2 of thresholds to start from, by tensor (`thresholds`).
        formats: Formats to start from (of a calibration), where `thresholds` says nothing.
        direction: Of the alignment, see `nibblefit_vitis.alignment.align`.
    """

    def __init__(self, graph: Graph, setting: NetworkSetting,
                 thresholds: Mapping[str, float] | None = None, *,
                 formats: NetworkFormats | None = None,
                 direction: Direction = "output") -> None:  # fmt: skip
        super().__init__(trainable_graph(graph, setting))
        self._setting, self._direction = qat_setting(setting), direction
        self._folded = folded_graph(self.graph, setting)
        self._places = places(self._folded, setting)
        self._place = {place.name: number for number, place in enumerate(self._places)}
        self._place.update({
            name: self._place[end] for name, end in joined(self._folded).items()
        })  # fmt: skip
        self._layers = {node.name: node for node in self._folded.nodes}
        self._norms = norms_behind(self.graph, self._folded)
        self._merged = {norm.name for chain in self._norms.values() for norm in chain}
        self._carriers = carriers(self._folded)
        self._aligned: dict[tuple[int, ...], NetworkFormats] = {}
        self._hardware = has_device_constants(setting)
        self._folding = torch.float32 if setting.parity else torch.float64
        self.freezes_statistics = self.freezes_thresholds = False
        self.quantizes = True
        start = _start(self._folded, self._places, thresholds or {}, formats)
        self.register_parameter(THRESHOLDS, nn.Parameter(torch.tensor(
            [0.0 if value is None else value for value in start])))  # fmt: skip
        self.register_buffer(_SEEN, torch.tensor([value is not None for value in start]))

    # -- what was learned --------------------------------------------------------------------

    def thresholds(self) -> dict[str, float]:
        """Return log2 of all thresholds that are known, by tensor of the folded graph."""
        values = self.get_parameter(THRESHOLDS).tolist()
        seen = self.get_buffer(_SEEN).tolist()
        return {p.name: v for p, v, known in zip(self._places, values, seen) if known}

    def formats(self) -> NetworkFormats:
        """Return the aligned formats of the folded graph.

        Raises:
            KeyError: A tensor was never seen: no batch went through.
        """
        known = self.thresholds()
        positions = tuple(
            position_of(known[place.name], place.setting.bit_width) for place in self._places
        )
        if positions not in self._aligned:
            names = (place.name for place in self._places)
            given = network_formats(self._places, dict(zip(names, positions)))
            self._aligned.clear()
            self._aligned[positions], _ = align(
                self._folded, given, self._setting, direction=self._direction
            )
        return self._aligned[positions]

    def coded(self) -> dict[str, str]:
        """Map every tensor that holds codes to the one whose format it has."""
        return {**self._carriers, **joined(self._folded)}

    # -- execution ---------------------------------------------------------------------------

    def _run(self, inputs: Sequence[Tensor], *, keep_all: bool) -> dict[str, Tensor]:
        if not self.quantizes:
            return super()._run(inputs, keep_all=keep_all)
        positions = self._positions()
        given = zip(self._graph.inputs, self._checked(inputs))
        tensors = {name: self._rounded(name, x, positions) for name, x in given}
        for position, node in enumerate(self._graph.nodes):
            result = self._execute(node, tensors, positions)
            outputs = result if isinstance(result, tuple) else (result,)
            for name, value in zip(node.outputs, outputs):
                tensors[name] = self._rounded(name, value, positions)
            if not keep_all:
                for name in self._last_use[position]:
                    del tensors[name]
        return tensors

    def _positions(self) -> dict[str, int]:
        """Return the fix position of every tensor; unaligned while some are unknown."""
        known = self.thresholds()
        if len(known) == len(self._places):
            found = self.formats()
            both = {**found.params, **found.outputs}
            return {n: f.position for n, f in both.items() if isinstance(f, FixPosition)}
        bits = {place.name: place.setting.bit_width for place in self._places}
        return {name: position_of(value, bits[name]) for name, value in known.items()}

    def _follows(self) -> bool:
        """Return whether batch norms use the batch's statistics."""
        return self.training and not self.freezes_statistics

    def _execute(self, node: Node, tensors: Mapping[str, Tensor],
                 positions: dict[str, int]) -> Tensor | tuple[Tensor, ...]:  # fmt: skip
        if node.op in WEIGHTED and node.inputs[1] in self._keys:
            return self._layer(node, tensors[node.inputs[0]], positions)
        if node.op is Op.BATCH_NORM and not self._follows():
            x = tensors[node.inputs[0]]
            return x if node.name in self._merged else self._scaled(node, x, positions)
        if node.op in IN_TRAINING:
            plain = [self.constant(n) if n in self._keys else tensors[n] for n in node.inputs]
            return IN_TRAINING[node.op](node.attributes, plain, self.training)
        values = [
            self._rounded(name, self.constant(name), positions) if name in self._keys
            else tensors[name] for name in node.inputs
        ]  # fmt: skip
        if not self._hardware:
            return outputs_of(node, values)
        return run_on_device(self._graph, node, values, round_gate=_round_gate)

    def _layer(self, node: Node, x: Tensor, positions: dict[str, int]) -> Tensor:
        """Return the output of a convolution or dense layer."""
        norms, names = self._norms.get(node.name, ()), self._layers[node.name].inputs
        if norms and self._follows():
            factor = norm_factor(node, norms, self.constant)
            weights = self._rounded(names[1], self.constant(node.inputs[1]) * factor, positions)
            bias = [self.constant(name) for name in node.inputs[2:]]
            return outputs_of(node, [x, weights / factor, *bias])[0]
        affine = folded(node, norms, self.constant, self._folding)
        values = [x, self._rounded(names[1], affine.weights, positions)]
        if affine.bias is not None:
            values.append(self._bias(names, affine.bias, positions))
        return outputs_of(node, values)[0]

    def _scaled(self, node: Node, x: Tensor, positions: dict[str, int]) -> Tensor:
        """Return the output of a batch norm that is a layer of its own."""
        names = self._layers[node.name].inputs
        affine = norm_affine(node, self.constant, self._folding)
        scale = self._rounded(names[1], affine.weights.float().to(x.dtype), positions)
        assert affine.bias is not None
        offset = self._bias(names, affine.bias.float().to(x.dtype), positions)
        along = (-1, *(1,) * (x.dim() - 2))
        return x * scale.reshape(along) + offset.reshape(along)

    def _bias(self, names: Sequence[str], bias: Tensor, positions: dict[str, int]) -> Tensor:
        """Return a bias rounded to its codes, and cut to the step of the sums it joins."""
        result = self._rounded(names[2], bias, positions)
        given = positions.get(self._carriers.get(names[0], ""))
        if given is None or positions[names[2]] <= given + positions[names[1]]:
            return result
        return floored(result, given + positions[names[1]])

    def _rounded(self, name: str, value: Tensor, positions: dict[str, int]) -> Tensor:
        """Return a tensor rounded to its codes; one that nobody rounds comes back as it is."""
        number = self._place.get(name)
        if number is None:
            return value
        place, thresholds = self._places[number], self.get_parameter(THRESHOLDS)
        if place.name not in positions:
            bits = place.setting.bit_width
            found = self._agreed(log2_threshold(activation_threshold(value, bits)))
            with torch.no_grad():
                thresholds[number] = found
                self.get_buffer(_SEEN)[number] = True
            positions[place.name] = position_of(found, bits)
        trained = None if self.freezes_thresholds else thresholds[number]
        return round_to_codes(value, place.codes(positions[place.name]), trained)

    def _agreed(self, log2: float) -> float:
        """Return the mean over all training processes, each of which sees its share of a batch."""
        if not self.training:
            return log2
        total, processes = sum_over_ranks(torch.tensor([log2, 1.0], dtype=torch.float64)).tolist()
        return float(total / processes)


def _start(graph: Graph, found: tuple[Place, ...], thresholds: Mapping[str, float],
           formats: NetworkFormats | None) -> list[float | None]:  # fmt: skip
    """Return log2 thresholds to start from; None where the first batch decides."""
    given: dict[str, object] = {**formats.params, **formats.outputs} if formats else {}
    start: list[float | None] = []
    for place in found:
        fmt = given.get(place.name)
        if place.name in thresholds:
            start.append(thresholds[place.name])
        elif isinstance(fmt, FixPosition):
            start.append(log2_of_position(fmt.position, place.setting.bit_width))
        elif place.is_parameter:
            values = torch.from_numpy(np.array(graph.constants[place.name]))
            start.append(log2_threshold(parameter_threshold(values)))
        else:
            start.append(None)
    return start


def _round_gate(gate: Tensor) -> Tensor:
    return round_to_codes(gate, _GATE)

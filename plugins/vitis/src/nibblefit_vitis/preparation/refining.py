"""Search of fix positions and of weights by the error of a layer's output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nibblefit.errors import InputError
from nibblefit.ir.graph import FloatConstant, Graph, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit_vitis.calibration import Calibrated
from nibblefit_vitis.calibration.parameters import parameter_formats
from nibblefit_vitis.formats import FixPosition, NetworkFormats, TensorFormat
from nibblefit_vitis.grouping import Group, carriers
from nibblefit_vitis.preparation.compensating import can_compensate, compensated, mean_error
from nibblefit_vitis.settings import Device, Kind, NetworkSetting
from nibblefit_vitis.simulation import Simulation, fake_quantized
from nibblefit_vitis.simulation.effective import effective
from nibblefit_vitis.simulation.operators import run_on_device
from nibblefit_vitis.simulation.quantizer import quantizer

Corrections = Mapping[str, npt.NDArray[np.float64]]
#: Samples that the network is judged on, and those of them that candidates are compared on.
_SAMPLES, _COMPARED = 64, 32
#: Parts of the samples, each of which must gain.
_PARTS = 2
#: Samples that go through the network together.
_CHUNK = 8
#: Positions tried around the calibrated one, nearest first; negative is coarser.
_AROUND = (0, 1, -1, 2, -2)
#: Moves tried one by one.
_STEPS = (1, -1)
#: Range of a layer's output shift on the DPU. Source: pytorch_nndct 3.5, alignment.
_SHIFTS = range(17)


@dataclass(frozen=True, slots=True)
class Moves:
    """Changes of fix positions by name, of parameters and of tensors."""

    params: Mapping[str, int]
    outputs: Mapping[str, int]


class Refining:
    """Searches and judges.

    Attributes:
        formats: The best so far.
        corrections: Those that go with them.
        weights: Weights that were rounded together, by name.

    Args:
        graph: A prepared graph with one input, biases as they were.
        calibrated: Formats and corrections to start from.
        setting: The configuration.
        batches: Inputs; the first samples are used.

    Raises:
        InputError: There are no batches.
    """

    def __init__(self, graph: Graph, calibrated: Calibrated, setting: NetworkSetting,
                 batches: Iterable[npt.NDArray[np.float32]]) -> None:  # fmt: skip
        self.graph, self.setting = graph, setting
        self.formats, self.corrections = calibrated.formats, calibrated.corrections
        self.weights: Mapping[str, FloatConstant] = {}
        self._chunks = _first(batches)
        self._float = fake_quantized(graph, NetworkFormats(), replace(setting, device=Device.CPU))
        self._wanted = [self._float(chunk) for chunk in self._chunks]
        self._carriers, self._readers = carriers(graph), graph.consumers()
        self._real: dict[str, Tensor] = {}
        self._loss = self._judged(self.formats, self.corrections, self.weights)

    def best(self, group: Group) -> Moves | None:
        """Return what leaves the least error at a group's end; None: nothing, or no format."""
        if not isinstance(self.formats.outputs.get(group.end), FixPosition):
            return None
        names = [n for n in (*group.head.inputs, group.end) if n not in self.graph.constants]
        self._real = self._compared(self._float, names)
        found = self._sum(group) if group.head.op is Op.ADD else self._layer(group)
        moved = any((*found.params.values(), *found.outputs.values()))
        return found if moved else None

    def single_moves(self, group: Group) -> Iterator[Moves]:
        """Yield one step of each position that belongs to a layer, finer and coarser."""
        for name in (group.end, *filter(self._is_own, group.head.inputs)):
            if isinstance(self.formats.outputs.get(name), FixPosition):
                yield from (Moves({}, {name: move}) for move in _STEPS)
        if group.head.op is not Op.ADD:
            yield from (Moves({group.head.inputs[1]: move}, {}) for move in _STEPS)

    def accept(self, group: Group, found: Moves | None) -> bool:
        """Take changes if the network's outputs come nearer to the float network's."""
        if found is None:
            return False
        formats = replace(
            self.formats,
            params=_moved(self.formats.params, found.params),
            outputs=_moved(self.formats.outputs, found.outputs),
        )
        if not found.params:
            return self._take(formats, self.corrections, self.weights)
        move = next(iter(found.params.values()))
        weights = self._parameter(group, group.head.inputs[1], move, Kind.WEIGHTS)
        return self._take(*self._refitted(group, formats, weights), self.weights)

    def compensate(self, group: Group) -> bool:
        """Round a layer's weights together, if the network's outputs come nearer by it."""
        head, fmt = group.head, self.formats.params.get(group.head.inputs[1])
        if fmt is None or not can_compensate(self.graph, head):
            return False
        x = self._compared(self._rounded(), [head.inputs[0]])[head.inputs[0]]
        weights = torch.from_numpy(np.array(self.graph.constants[head.inputs[1]], np.float32))
        rounds = quantizer(fmt, effective(self.setting, head.name, Kind.WEIGHTS))
        found = compensated(head, weights, x, rounds.real, centred=self._bias(group) is not None)
        changed = {**self.weights, head.inputs[1]: found.numpy()}
        return self._take(*self._refitted(group, self.formats, found), changed)

    def _bias(self, group: Group) -> str | None:
        """Return the bias of a layer, if it is corrected."""
        return next((name for name in group.head.inputs[2:] if name in self.corrections), None)

    def _refitted(self, group: Group, formats: NetworkFormats,
                  weights: Tensor) -> tuple[NetworkFormats, Corrections]:  # fmt: skip
        """Return formats and corrections that go with other rounded weights of a layer."""
        bias = self._bias(group)
        if bias is None:
            return formats, self.corrections
        name = group.head.inputs[0]
        x = self._compared(self._rounded(), [name])[name]
        corrections = {**self.corrections, bias: self._correction(group, bias, x, weights)}
        fitting = parameter_formats(self.graph, self.setting, corrections, only={bias})
        params = frozen_mapping({**formats.params, **fitting})
        return replace(formats, params=params), frozen_mapping(corrections)

    def _correction(self, group: Group, bias: str, x: Tensor,
                    weights: Tensor) -> npt.NDArray[np.float64]:  # fmt: skip
        """Return a bias's correction with what other rounded weights change in the mean."""
        name = group.head.inputs[1]
        now = self._parameter(group, name, 0, Kind.WEIGHTS)
        if name in self.weights:
            now = torch.from_numpy(np.array(self.weights[name], np.float32))
        shift: npt.NDArray[np.float64] = (
            mean_error(self.graph, group.head, x, weights - now).double().numpy()
        )
        return self.corrections[bias] + shift

    def _take(self, formats: NetworkFormats, corrections: Corrections,
              weights: Mapping[str, FloatConstant]) -> bool:  # fmt: skip
        loss = self._judged(formats, corrections, weights)
        # What helps all parts of the samples is no accident of some of them.
        if not all(new < old for new, old in zip(loss, self._loss, strict=True)):
            return False
        self.formats, self.corrections, self.weights = formats, corrections, weights
        self._loss = loss
        return True

    def _judged(self, formats: NetworkFormats, corrections: Corrections,
                weights: Mapping[str, FloatConstant]) -> list[float]:  # fmt: skip
        """Return the squared error at the network's outputs, of each part of the samples."""
        graph = self.graph.with_constants(weights)
        rounded = fake_quantized(graph, formats, self.setting, corrections=corrections)
        errors = [0.0] * min(_PARTS, len(self._chunks))
        for place, (chunk, wanted) in enumerate(zip(self._chunks, self._wanted, strict=True)):
            pairs = zip(rounded(chunk), wanted, strict=True)
            errors[place % len(errors)] += sum(_error(found, other) for found, other in pairs)
        return errors

    def _rounded(self) -> Simulation:
        graph = self.graph.with_constants(self.weights)
        return fake_quantized(graph, self.formats, self.setting, corrections=self.corrections)

    def _compared(self, network: Simulation, names: Sequence[str]) -> dict[str, Tensor]:
        """Return some tensors for the samples that candidates are compared on."""
        found: dict[str, list[Tensor]] = {name: [] for name in names}
        for chunk in self._chunks[: _COMPARED // _CHUNK]:
            tensors = network.tensors(chunk)
            for name, kept in found.items():
                kept.append(tensors[name])
        return {name: torch.cat(kept) for name, kept in found.items()}

    def _sum(self, group: Group) -> Moves:
        """Search the positions of a sum and of the operands that only it reads."""
        names = group.head.inputs
        own = [self._is_own(name) for name in names]
        operands = [
            [(move, self._activation(self._operand(name), name, move))
             for move in (_AROUND if free else _AROUND[:1])]
            for name, free in zip(names, own)
        ]  # fmt: skip
        best, least = Moves({}, {}), float("inf")
        for chosen in product(*operands):
            exact = self._behind(group, [values for _, values in chosen])
            for move in _AROUND:
                error = self._left(group, exact, move)
                if error < least:
                    moves = {n: m for n, (m, _), free in zip(names, chosen, own) if free}
                    best, least = Moves({}, {**moves, group.end: move}), error
        return best

    def _operand(self, name: str) -> Tensor:
        if name in self.graph.constants:
            return torch.from_numpy(np.array(self.graph.constants[name], np.float32))
        return self._real[name]

    def _is_own(self, name: str) -> bool:
        """Return whether a tensor has a format of its own that only one layer reads."""
        return (
            self._carriers.get(name) == name
            and isinstance(self.formats.outputs.get(name), FixPosition)
            and len(self._readers[name]) == 1
            and name not in self.graph.outputs
        )

    def _layer(self, group: Group) -> Moves:
        """Search the positions of weights, output, and of a network input only it reads."""
        head = group.head
        x, weights = head.inputs[:2]
        if x in self.graph.inputs and self._is_own(x):
            inputs = [(move, self._activation(self._real[x], x, move)) for move in _AROUND[:3]]
        else:
            inputs = [(0, self._compared(self._rounded(), [x])[x])]
        best, least = Moves({}, {}), float("inf")
        for (into, values), move in product(inputs, _AROUND):
            exact = self._behind(group, self._with_move(group, values, move))
            for out in self._shiftable(group, into + move):
                error = self._left(group, exact, out)
                if error < least:
                    outputs = {group.end: out, **({x: into} if len(inputs) > 1 else {})}
                    best, least = Moves({weights: move}, outputs), error
        return best

    def _with_move(self, group: Group, x: Tensor, move: int) -> list[Tensor]:
        """Return input, weights with their position moved, and the bias that goes with them."""
        head = group.head
        _, weights, *bias = head.inputs
        rounded = self._parameter(group, weights, move, Kind.WEIGHTS)
        if not bias or bias[0] not in self.corrections:
            return [x, rounded, *(self._parameter(group, n, 0, Kind.BIAS) for n in bias)]
        correction = self._correction(group, bias[0], x, rounded)
        return [x, rounded, self._operand(bias[0]) - torch.from_numpy(correction).float()]

    def _shiftable(self, group: Group, moved: int) -> Sequence[int]:
        """Return moves of the output whose shift the DPU has."""
        x, weights = group.head.inputs[:2]
        before = self._position(self.formats.outputs.get(self._carriers.get(x, x)))
        shift = before + self._position(self.formats.params.get(weights)) + moved
        shift -= self._position(self.formats.outputs.get(group.end))
        return [move for move in _AROUND if shift - move in _SHIFTS]

    @staticmethod
    def _position(fmt: TensorFormat | None) -> int:
        return fmt.position if isinstance(fmt, FixPosition) else 0

    def _behind(self, group: Group, operands: Sequence[Tensor]) -> Tensor:
        """Return the exact values at the group's end."""
        values = tuple(operands)
        for node in group.members:
            values = run_on_device(self.graph, node, values)
            if group.end in node.outputs:
                break
        return values[0]

    def _left(self, group: Group, exact: Tensor, move: int) -> float:
        """Return the error at a group's end with its position moved."""
        return _error(self._activation(exact, group.end, move), self._real[group.end])

    def _activation(self, values: Tensor, name: str, move: int) -> Tensor:
        fmt = self.formats.outputs.get(self._carriers.get(name, name))
        own = effective(self.setting, name, Kind.ACTIVATION)
        return values if fmt is None else quantizer(_shifted(fmt, move), own).real(values)

    def _parameter(self, group: Group, name: str, move: int, kind: Kind) -> Tensor:
        values = torch.from_numpy(np.array(self.graph.constants[name], np.float32))
        fmt = self.formats.params.get(name)
        own = effective(self.setting, group.head.name, kind)
        return values if fmt is None else quantizer(_shifted(fmt, move), own).real(values)


def _first(batches: Iterable[npt.NDArray[np.float32]]) -> list[npt.NDArray[np.float32]]:
    """Return the first samples in chunks."""
    found: list[npt.NDArray[np.float32]] = []
    for batch in batches:
        found.append(np.asarray(batch, np.float32))
        if sum(map(len, found)) >= _SAMPLES:
            break
    if not sum(map(len, found)):
        raise InputError(
            "the search of formats got no calibration data",
            hint="set quantize.calibration_samples to 1 or more",
        )
    samples = np.concatenate(found)[:_SAMPLES]
    return [samples[start : start + _CHUNK] for start in range(0, len(samples), _CHUNK)]


def _shifted(fmt: TensorFormat, move: int) -> TensorFormat:
    if not isinstance(fmt, FixPosition):
        return fmt
    positions = tuple(position + move for position in fmt.positions)
    return replace(fmt, position=fmt.position + move, positions=positions)


def _moved(formats: Mapping[str, TensorFormat | None],
           moves: Mapping[str, int]) -> Mapping[str, TensorFormat | None]:  # fmt: skip
    changed: dict[str, TensorFormat | None] = dict(formats)
    for name, move in moves.items():
        fmt = changed.get(name)
        changed[name] = None if fmt is None else _shifted(fmt, move)
    return frozen_mapping(changed)


def _error(one: Tensor, other: Tensor) -> float:
    return float((one.double() - other.double()).square().sum())

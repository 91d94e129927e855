"""Bias correction in closed form: every layer's mean output becomes that of the float network.

Layer after layer, over all kept samples: the rounded network up to a layer is final, so the mean of
what the layer reads is known, and with it (a layer is linear) the mean of what it returns. The
difference to the float network's mean goes into the bias, before the next layer is looked at. That
takes away the errors of rounded weights, and those that roundings of activations leave on average,
which ties that always go up add up to. Source: the empirical correction of Nagel et al., Data-Free
Quantization (2019), on means instead of samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph, Node
from nibblefit_vitis.calibration.estimate import estimate
from nibblefit_vitis.calibration.mean_bias import MeanInputs, mean_output
from nibblefit_vitis.calibration.samples import Kept, chunks
from nibblefit_vitis.calibration.workers import side_by_side, taken, workers
from nibblefit_vitis.formats import NetworkFormats, TensorFormat
from nibblefit_vitis.grouping import KEEPING, Group
from nibblefit_vitis.settings import Kind, NetworkSetting
from nibblefit_vitis.simulation.effective import effective, has_device_constants
from nibblefit_vitis.simulation.execution import Execution, channels_last
from nibblefit_vitis.simulation.network import (
    activation_quantizers,
    reading_quantizers,
    rounded_constants,
)
from nibblefit_vitis.simulation.quantizer import Quantizer, quantizer


@dataclass(frozen=True, slots=True)
class Matched:
    """Corrections of biases and what they are rounded to.

    Attributes:
        corrections: Float bias − corrected bias, by name.
        formats: Of the corrected biases.
    """

    corrections: Mapping[str, npt.NDArray[np.float64]]
    formats: Mapping[str, TensorFormat]


class _Stored:
    """One tensor of all samples, in chunks: as codes of one byte where the format allows."""

    def __init__(self, rounds: Quantizer | None) -> None:
        narrow = rounds is not None and rounds.axis is None
        self._rounds = rounds if narrow and _fits_int8(rounds) else None
        self._chunks: dict[int, Tensor] = {}

    def write(self, place: int, values: Tensor) -> None:
        """Keep a chunk; its values may be overwritten."""
        if self._rounds is not None:
            values = values.mul_(self._rounds.inverse[0]).round_().to(torch.int8)
        self._chunks[place] = values

    def read(self, place: int) -> Tensor:
        """Return a chunk that may be overwritten."""
        if self._rounds is None:
            return self._chunks[place].clone()
        return self._chunks[place].float().mul_(1.0 / self._rounds.inverse[0])


def _fits_int8(rounds: Quantizer | None) -> bool:
    return rounds is not None and rounds.lowest >= -128 and rounds.highest <= 127


class _Matching:
    def __init__(self, graph: Graph, formats: NetworkFormats, setting: NetworkSetting,
                 means: MeanInputs, number: int) -> None:  # fmt: skip
        self.graph, self.setting, self.means, self.number = graph, setting, means, number
        self.execution = Execution(graph, hardware=has_device_constants(setting))
        self.constants = {
            name: channels_last(values)
            for name, values in rounded_constants(graph, formats, setting, {}).items()
        }
        self.quantizers = activation_quantizers(self.execution, formats, setting)
        self.readers = reading_quantizers(formats, setting)
        self.sources = _sources(self.execution, self.quantizers)
        self.stored: dict[str, _Stored] = {}
        self.corrections: dict[str, npt.NDArray[np.float64]] = {}
        self.found: dict[str, TensorFormat] = {}

    def run(self, samples: Sequence[npt.NDArray[np.float32]]) -> None:
        """Walk the network layer by layer, every layer over all samples."""
        (name,) = self.graph.inputs
        freed = _freed(self.execution.groups, self.graph)
        for place, chunk in enumerate(samples):
            x = channels_last(torch.from_numpy(np.array(chunk, np.float32)))
            self._store(name, place, self._rounded(name, x))
        places = range(len(samples))
        for position, group in enumerate(self.execution.groups):
            self._correct(group.head, places, sum(map(len, samples)))
            side_by_side(partial(self._run_chunk, group), places, self.number)
            for tensor in freed[position]:
                self.stored.pop(tensor, None)

    def _run_chunk(self, group: Group, place: int) -> None:
        inner: dict[str, Tensor] = {}
        for node in group.members:
            operands = [
                self.constants[name] if name in self.constants
                else inner.pop(name) if name in inner
                else self._read(node, name, place)
                for name in node.inputs
            ]  # fmt: skip
            results = self.execution.results(node, operands, overwrite=True)
            for name, result in zip(node.outputs, results, strict=True):
                is_end = group.quantized and name == group.end
                inner[name] = self._rounded(name, result) if is_end else result
        for name, values in inner.items():
            self._store(name, place, values)

    def _rounded(self, name: str, values: Tensor) -> Tensor:
        rounds = self.quantizers.get(name)
        return values if rounds is None else rounds.real(values, in_place=True)

    def _store(self, name: str, place: int, values: Tensor) -> None:
        # `setdefault` is atomic under Python's lock.
        self.stored.setdefault(name, _Stored(self.sources.get(name))).write(place, values)

    def _read(self, node: Node, name: str, place: int) -> Tensor:
        values = self.stored[name].read(place)
        rounds = self.readers.get(node.name) if name == node.inputs[0] else None
        return values if rounds is None else rounds.real(values, in_place=True)

    def _correct(self, node: Node, places: Sequence[int], samples: int) -> None:
        """Match the mean of a layer's output, and round its new bias."""
        wanted = self.means.of(node)
        if wanted is None or node.inputs[2] in self.corrections:
            return

        def summed(place: int) -> Tensor:
            return self._read(node, node.inputs[0], place).sum(0).double()

        total = sum(side_by_side(summed, places, self.number))
        rounded = self.constants[node.inputs[1]].double()
        exact = torch.from_numpy(np.array(self.graph.constants[node.inputs[1]])).double()
        found = mean_output(node, torch.as_tensor(total) / samples, rounded)
        correction = (found - mean_output(node, wanted, exact)).numpy()
        name = node.inputs[2]
        bias = np.asarray(self.graph.constants[name], np.float64) - correction
        corrected = torch.from_numpy(bias).float()
        own = effective(self.setting, node.name, Kind.BIAS)
        fmt = estimate(name, corrected, own, parity=self.setting.parity)
        self.corrections[name], self.found[name] = correction, fmt
        self.constants[name] = quantizer(fmt, own).real(corrected)


def _sources(
    execution: Execution, quantizers: Mapping[str, Quantizer]
) -> Mapping[str, Quantizer | None]:
    """Return what rounded each stored tensor, perhaps before it was rearranged."""
    found: dict[str, Quantizer | None] = {
        name: quantizers.get(name) for name in execution.graph.inputs
    }
    for group in execution.groups:
        keeps = not group.quantized and all(node.op in KEEPING for node in group.members)
        origin = found.get(group.head.inputs[0]) if keeps else None
        rounds = quantizers.get(group.end) if group.quantized else origin
        found.update(dict.fromkeys(group.tensors, rounds))
    return found


def _freed(groups: Sequence[Group], graph: Graph) -> list[list[str]]:
    """Return, for every group, the tensors that no later group reads."""
    last: dict[str, int] = {}
    for place, group in enumerate(groups):
        for node in group.members:
            last.update(dict.fromkeys((*node.inputs, *node.outputs), place))
    freed: list[list[str]] = [[] for _ in groups]
    for name, place in last.items():
        if name not in graph.constants:
            freed[place].append(name)
    return freed


def matched_biases(
    graph: Graph,
    formats: NetworkFormats,
    setting: NetworkSetting,
    samples: Sequence[npt.NDArray[np.float32]],
    means: MeanInputs,
) -> Matched:
    """Return corrections of all constant biases, and formats that fit the corrected values.

    Args:
        graph: A prepared float graph with one input.
        formats: Of its tensors; those of biases are found anew.
        setting: What is asked for every tensor.
        samples: Inputs, in batches that fit into memory.
        means: Of the float network, over the same samples.
    """
    with workers() as number, torch.inference_mode():
        matching = _Matching(graph, formats, setting, means, number)
        matching.run(samples)
    return Matched(matching.corrections, matching.found)


def correct_biases(
    graph: Graph,
    formats: NetworkFormats,
    setting: NetworkSetting,
    batches: Iterable[npt.NDArray[np.float32]],
) -> Matched:
    """Return the corrections that given formats call for, from data read once.

    Args:
        graph: A prepared float graph with one input.
        formats: Of its tensors, for example after alignment; those of biases are found anew.
        setting: What they were made for.
        batches: Inputs; the first ones are used, as many as `KEPT_BYTES` hold.

    Raises:
        InputError: There are no samples.
    """
    kept = Kept()
    for chunk in chunks(batches):
        if not kept.add(chunk):
            break
    if not kept.samples:
        raise InputError(
            "bias correction got no calibration data",
            hint="set quantize.calibration_samples to 1 or more",
        )
    means = _float_means(graph, setting, kept.samples)
    return matched_biases(graph, formats, setting, kept.samples, means)


def _float_means(graph: Graph, setting: NetworkSetting,
                 samples: Sequence[npt.NDArray[np.float32]]) -> MeanInputs:  # fmt: skip
    """Return what the layers of the float network read on average."""
    execution = Execution(graph, hardware=has_device_constants(setting))
    means = MeanInputs(graph)
    constants = {
        name: channels_last(torch.from_numpy(np.array(values)).float())
        for name, values in graph.constants.items()
    }

    def summed(chunk: npt.NDArray[np.float32]) -> dict[str, Tensor]:
        sums: dict[str, Tensor] = {}

        def watch(node: Node, inputs: Sequence[Tensor], output: Tensor) -> None:  # noqa: ARG001
            if means.is_first_reader(node):
                sums[node.inputs[0]] = inputs[0].sum(0).double()

        x = channels_last(torch.from_numpy(np.ascontiguousarray(chunk)))
        execution.run([x], constants, lambda _, values: values, watch=watch)
        return sums

    with workers() as number:
        for some in taken(samples, number):
            for chunk, sums in zip(some, side_by_side(summed, some, number), strict=True):
                means.add_sums(sums, len(chunk))
    return means

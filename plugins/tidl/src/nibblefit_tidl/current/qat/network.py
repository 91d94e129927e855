"""The network that trains with quantization in the loop.

Weights and layer outputs are rounded to the codes they will have, straight through for gradients.
A batch norm behind a layer is folded into the rounding: weights are rounded as they will be once
``gamma / sqrt(running variance + epsilon)`` is in them, and the layer's result is divided by that
again, so that the batch norm still trains as one. A weight of zero is rounded to zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.nn.execute import EXECUTE, IN_TRAINING
from nibblefit.nn.network import Network
from nibblefit.quantization.assign import calibrated_tensors
from nibblefit.quantization.fold import fold
from nibblefit.quantization.sign import nonnegative_tensors
from nibblefit.quantization.units import units
from nibblefit_tidl.current.modes import Mode
from nibblefit_tidl.current.ranges import Range

_TINY = 1e-12
#: Offset in steps that is above float32's resolution at 8 bits and below any other fraction.
_HALF_UP = 2.0**-12


class QatNetwork(Network):
    """Executes a float graph with the roundings of a mode.

    Args:
        graph: The float graph, batch norm and all.
        mode: Powers of two (scale type 1) or asymmetric (4).
        averaging: Share of a batch's range in the running ranges.
        ranges: Ranges to start from, by tensor.
    """

    def __init__(self, graph: Graph, mode: Mode, averaging: float = 0.1,
                 ranges: Mapping[str, Range] | None = None) -> None:  # fmt: skip
        super().__init__(graph)
        self._mode, self._averaging = mode, averaging
        folded = fold(graph)
        chosen = calibrated_tensors(folded, units(folded, mode.numerics))
        self._tensors = tuple(n for n in chosen if n in graph.shapes and n not in graph.inputs)
        self._place = {name: place for place, name in enumerate(self._tensors)}
        self._nonnegative = nonnegative_tensors(graph, set())
        self._norms = _norms_behind(graph, folded)
        self.freezes_statistics = self.freezes_ranges = False
        start = [(ranges or {}).get(name, (0.0, 0.0)) for name in self._tensors]
        self.register_buffer("tidl_ranges", torch.tensor(start, dtype=torch.float32).reshape(-1, 2))
        seen = [name in (ranges or {}) for name in self._tensors]
        self.register_buffer("tidl_seen", torch.tensor(seen))

    def ranges(self) -> dict[str, Range]:
        """Return the running ranges of all tensors that were seen."""
        found = self.get_buffer("tidl_ranges").tolist()
        seen = self.get_buffer("tidl_seen").tolist()
        return {n: (lo, hi) for n, (lo, hi), known in zip(self._tensors, found, seen) if known}

    def _run(self, inputs: Sequence[Tensor], *, keep_all: bool) -> dict[str, Tensor]:
        tensors = dict(zip(self._graph.inputs, self._checked(inputs)))
        for position, node in enumerate(self._graph.nodes):
            result = self._execute(node, tensors)
            outputs = result if isinstance(result, tuple) else (result,)
            for name, value in zip(node.outputs, outputs):
                tensors[name] = self._rounded(name, value) if name in self._place else value
            if not keep_all:
                for name in self._last_use[position]:
                    del tensors[name]
        return tensors

    def _execute(self, node: Node, tensors: Mapping[str, Tensor]) -> Tensor | tuple[Tensor, ...]:
        values = [self.constant(n) if n in self._keys else tensors[n] for n in node.inputs]
        if node.op in IN_TRAINING:
            training = self.training and not (node.op is Op.BATCH_NORM and self.freezes_statistics)
            return IN_TRAINING[node.op](node.attributes, values, training)
        if node.op not in WEIGHTED or node.inputs[1] not in self._keys:
            return EXECUTE[node.op](node.attributes, values)
        norm = self._norms.get(node.name)
        if norm is None:
            return EXECUTE[node.op](node.attributes, [values[0], self._weights(node, values[1]),
                                                      *values[2:]])  # fmt: skip
        return self._normalized(node, norm, values)

    def _normalized(self, node: Node, norm: Node, values: Sequence[Tensor]) -> Tensor:
        """Return a layer's result with weights rounded as its batch norm will scale them."""
        gamma, _, _, variance = (self.constant(name) for name in norm.inputs[1:])
        factor = gamma / torch.sqrt(variance + float(norm.attributes["epsilon"]))
        factor = torch.where(factor.abs() < _TINY, torch.full_like(factor, _TINY), factor)
        shape = (-1, *(1,) * (values[1].dim() - 1))
        weights = self._weights(node, values[1] * factor.reshape(shape))
        raw = EXECUTE[node.op](node.attributes, [values[0], weights])
        assert isinstance(raw, Tensor)
        along = (1, -1, *(1,) * (raw.dim() - 2))
        result = raw / factor.reshape(along)
        return result + values[2].reshape(along) if len(values) > 2 else result

    def _weights(self, node: Node, weights: Tensor) -> Tensor:
        """Return weights rounded to their codes, straight through for gradients."""
        highest = 2 ** (self._mode.bits - 1) - 1
        given = weights.detach()
        axis = None if self._mode.power_of_two else _channel_axis(node)
        if axis is None:
            largest = given.abs().max().clamp(min=_TINY)
            scale = torch.exp2(torch.ceil(torch.log2(largest))) / (highest + 1)
            zero = torch.zeros((), dtype=torch.int32, device=weights.device)
            return torch.fake_quantize_per_tensor_affine(
                weights, scale, zero, -highest - 1, highest
            )
        rest = tuple(place for place in range(weights.dim()) if place != axis)
        reach = torch.maximum(given.amax(dim=rest) / highest, -given.amin(dim=rest) / (highest + 1))
        scales = reach.clamp(min=_TINY)
        zeros = torch.zeros_like(scales, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(
            weights, scales, zeros, axis, -highest - 1, highest
        )

    def _rounded(self, name: str, value: Tensor) -> Tensor:
        """Return a layer's output rounded to its codes, after following its range."""
        place = self._place[name]
        ranges, seen = self.get_buffer("tidl_ranges"), self.get_buffer("tidl_seen")
        if self.training and not self.freezes_ranges:
            lo, hi = torch.aminmax(value.detach())
            batch = torch.stack((lo.clamp(max=0.0), hi.clamp(min=0.0)))
            share = torch.where(seen[place], self._averaging, 1.0)
            ranges[place] += share * (batch - ranges[place])
            seen[place] = True
        lo, hi = ranges[place].clone()
        bits = self._mode.bits
        if self._mode.symmetric:
            signed = name not in self._nonnegative
            largest = torch.maximum(-lo, hi).clamp(min=_TINY)
            scale = torch.exp2(torch.ceil(torch.log2(largest))) / 2 ** (bits - signed)
            zero = torch.zeros((), dtype=torch.int32, device=value.device)
            lowest = -(2 ** (bits - 1)) if signed else 0
        else:
            scale = ((hi - lo) / (2**bits - 1)).clamp(min=_TINY)
            zero = torch.round(-lo / scale).clamp(0, 2**bits - 1).to(torch.int32)
            lowest = 0
        highest = lowest + 2**bits - 1
        # Halves round up on the device and to even here; the offset decides them all upward.
        return torch.fake_quantize_per_tensor_affine(
            value + scale * _HALF_UP, scale, zero, lowest, highest
        )


def _channel_axis(node: Node) -> int | None:
    if node.op is not Op.CONV_TRANSPOSE:
        return 0
    return 1 if int(node.attributes.get("groups", 1)) == 1 else None


def _norms_behind(graph: Graph, folded: Graph) -> dict[str, Node]:
    """Map convolutions and linear layers to the batch norm that will go into them."""
    kept = {node.name for node in folded.nodes}
    makers, found = graph.producers(), {}
    for node in graph.nodes:
        if node.op is not Op.BATCH_NORM or node.name in kept:
            continue
        maker = makers.get(node.inputs[0])
        if maker is not None and maker.op in (Op.CONV, Op.LINEAR) and maker.name not in found:
            found[maker.name] = node
    return found

"""The network that trains with quantization in the loop.

While training, weights are rounded with the range of the step and activations with a running one.
A batch norm behind a layer is in the rounding: weights are rounded as they will be once
``gamma / sqrt(running variance + epsilon)`` is in them, and the result is divided by that again, so
that the batch norm still trains as one. Otherwise the network is the one that will be deployed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.nn.execute import EXECUTE, IN_TRAINING
from nibblefit.nn.network import Network
from nibblefit_tao.numerics import LEVELS
from nibblefit_tao.qat.deployed import Deployed, deployed
from nibblefit_tao.qat.places import SOFTMAX_SCALE, places
from nibblefit_tao.qat.rounding import round_activation, round_weights, scale_of

#: Of the running range. Source: tao_tensorflow1_backend, its QDQ layer.
DECAY = 0.999
#: Largest magnitude of a tensor that was never seen. Same source.
UNSEEN = 6.0
_TINY = 1e-12


class QatNetwork(Network):
    """Executes a float graph with fake quantization.

    Args:
        graph: The float graph, batch norm and all.
        numerics: The arithmetic to train for.
        ranges: Largest magnitudes to start from, by tensor.
        decay: Share of the running range that a step leaves.
    """

    def __init__(self, graph: Graph, numerics: Numerics,
                 ranges: Mapping[str, float] | None = None, *,
                 decay: float = DECAY) -> None:  # fmt: skip
        super().__init__(graph)
        self._numerics, self._decay = numerics, decay
        self._places = places(graph, numerics)
        self._place = {name: place for place, name in enumerate(self._places.followed)}
        known = ranges or {}
        start = [known.get(name, 0.0) for name in self._places.followed]
        weight = [float(name in known) for name in self._places.followed]
        # A mean from zero and the weight of what went into it: their quotient has no bias.
        self.register_buffer("tao_sums", torch.tensor(start, dtype=torch.float32))
        self.register_buffer("tao_weights", torch.tensor(weight, dtype=torch.float32))
        self._kept: tuple[tuple[object, ...], Deployed] | None = None

    def ranges(self) -> dict[str, float]:
        """Return the largest magnitude of every tensor whose range is followed."""
        places = range(len(self._places.followed))
        return {
            name: float(self._largest(place))
            for name, place in zip(self._places.followed, places, strict=True)
        }

    def deployed(self, dtype: torch.dtype = torch.float32) -> Deployed:
        """Return the network of the current weights and ranges as it will be deployed."""
        scales = {name: most / LEVELS for name, most in self.ranges().items()}
        return deployed(self.to_graph(), scales, self._numerics, dtype)

    def _run(self, inputs: Sequence[Tensor], *, keep_all: bool) -> dict[str, Tensor]:
        if not self.training:
            return self._current()._run(inputs, keep_all=keep_all)  # noqa: SLF001 - of its own class
        given = zip(self._graph.inputs, self._checked(inputs), strict=True)
        tensors = {name: self._rounded(name, x) for name, x in given}
        for position, node in enumerate(self._graph.nodes):
            result = self._execute(node, tensors)
            outputs = result if isinstance(result, tuple) else (result,)
            for name, value in zip(node.outputs, outputs, strict=True):
                tensors[name] = self._rounded(name, value)
            if not keep_all:
                for name in self._last_use[position]:
                    del tensors[name]
        return tensors

    def _current(self) -> Deployed:
        """Return the deployed network, made again when a weight or range has changed."""
        state = [*self.parameters(), *self.buffers()]
        key = tuple((id(tensor), tensor._version, tensor.device) for tensor in state)  # noqa: SLF001
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, self.deployed().eval().to(state[0].device))
        return self._kept[1]

    def _execute(self, node: Node, tensors: Mapping[str, Tensor]) -> Tensor | tuple[Tensor, ...]:
        if node.op in IN_TRAINING:
            plain = [self.constant(n) if n in self._keys else tensors[n] for n in node.inputs]
            return IN_TRAINING[node.op](node.attributes, plain, True)
        norm = self._places.norms.get(node.name)
        if norm is not None:
            return self._normalized(node, norm, tensors[node.inputs[0]])
        values = [
            self._constant(node, place) if name in self._keys else tensors[name]
            for place, name in enumerate(node.inputs)
        ]
        return EXECUTE[node.op](node.attributes, values)

    def _constant(self, node: Node, place: int) -> Tensor:
        """Return a constant operand, rounded; a bias has 32 bits and stays as it is."""
        value = self.constant(node.inputs[place])
        if node.op not in WEIGHTED:
            return round_weights(value)
        return round_weights(value, self._axis(node)) if place == 1 else value

    def _normalized(self, node: Node, norm: Node, x: Tensor) -> Tensor:
        """Return a layer's result with weights rounded as its batch norm will scale them."""
        gamma, _, _, variance = (self.constant(name) for name in norm.inputs[1:])
        factor = gamma / torch.sqrt(variance + float(norm.attributes["epsilon"]))
        factor = torch.where(factor.abs() < _TINY, torch.full_like(factor, _TINY), factor)
        weights = self.constant(node.inputs[1])
        along = factor.reshape(-1, *(1,) * (weights.dim() - 1))
        rounded = round_weights(weights * along, self._axis(node)) / along
        bias = [self.constant(name) for name in node.inputs[2:]]
        result = EXECUTE[node.op](node.attributes, [x, rounded, *bias])
        assert isinstance(result, Tensor)
        return result

    def _axis(self, node: Node) -> int | None:
        if not self._numerics.weights.per_channel:
            return None
        if node.op is not Op.CONV_TRANSPOSE:
            return 0
        return 1 if int(node.attributes.get("groups", 1)) == 1 else None

    def _rounded(self, name: str, value: Tensor) -> Tensor:
        """Return a tensor rounded to its codes, after following its range."""
        place = self._place.get(name)
        if place is not None:
            self._follow(place, value)
        if name not in self._places.carriers or name in self._places.open_ended:
            return value
        carrier = self._places.carriers[name]
        if carrier is None:
            return round_activation(value, value.new_tensor(SOFTMAX_SCALE))
        return round_activation(value, scale_of(self._largest(self._place[carrier])))

    def _follow(self, place: int, value: Tensor) -> None:
        sums, weights = self.get_buffer("tao_sums"), self.get_buffer("tao_weights")
        with torch.no_grad():
            sums[place] += (1 - self._decay) * (value.detach().abs().amax() - sums[place])
            weights[place] += (1 - self._decay) * (1 - weights[place])

    def _largest(self, place: int) -> Tensor:
        sums, weights = self.get_buffer("tao_sums"), self.get_buffer("tao_weights")
        # A copy: what rounds with it keeps its own, whatever later steps do to the buffer.
        return torch.where(weights[place] > 0, sums[place] / weights[place], UNSEEN).clone()

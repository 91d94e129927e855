"""One layer under judgement, with what the checks ask about it."""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit.fixed.geometry import Window
from nibblefit.ir.attributes import window_of
from nibblefit.ir.graph import Graph, Node, Shape
from nibblefit.ir.ops import Op

_NEVER_NEGATIVE = frozenset({Op.RELU, Op.SIGMOID, Op.HARD_SIGMOID, Op.ABS, Op.SOFTMAX})
#: Layers that pass on the sign of their input.
_SIGN_KEEPERS = frozenset({
    Op.MAX_POOL, Op.AVG_POOL, Op.GLOBAL_AVG_POOL, Op.GLOBAL_MAX_POOL, Op.FLATTEN, Op.RESHAPE,
    Op.TRANSPOSE, Op.SLICE, Op.SPLIT, Op.RESIZE_NEAREST, Op.RESIZE_BILINEAR, Op.PIXEL_SHUFFLE,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Site:
    """A node of a folded graph.

    Attributes:
        graph: The graph.
        node: The node.
        bits: Width of its output.
    """

    graph: Graph
    node: Node
    bits: int = 8

    @property
    def variables(self) -> tuple[str, ...]:
        """Inputs that are tensors, not constants."""
        return tuple(name for name in self.node.inputs if name in self.graph.shapes)

    @property
    def constants(self) -> tuple[str, ...]:
        """Inputs that are constants."""
        return tuple(name for name in self.node.inputs if name in self.graph.constants)

    @property
    def shape(self) -> Shape:
        """Shape of the first tensor that it reads, without batch axis."""
        return self.graph.shapes[self.variables[0]] if self.variables else ()

    @property
    def kernel(self) -> tuple[int, ...]:
        """Taps along each spatial axis; empty where there is no kernel."""
        if self.node.op in (Op.CONV, Op.CONV_TRANSPOSE):
            return self._shape_of(self.node.inputs[1])[2:]
        return tuple(self.node.attributes.get("kernel", ()))

    @property
    def window(self) -> Window:
        """Geometry of the kernel."""
        return window_of(self.node.attributes, self.kernel)

    @property
    def groups(self) -> int:
        """Groups of a convolution."""
        return int(self.node.attributes.get("groups", 1))

    @property
    def is_depthwise(self) -> bool:
        """Whether every channel has a group of its own."""
        return self.groups > 1 and self.groups == self.shape[0]

    def never_negative(self, tensor: str) -> bool:
        """Return whether a tensor has no values below zero because of the layer it comes from."""
        producers = self.graph.producers()
        while tensor in producers:
            node = producers[tensor]
            if node.op is Op.CLIP:
                low = node.attributes.get("lo")
                return low is not None and low >= 0
            if node.op not in _SIGN_KEEPERS:
                return node.op in _NEVER_NEGATIVE
            tensor = node.inputs[0]
        return False

    def readers(self) -> list[Node]:
        """Return the nodes that read its first output."""
        return self.graph.consumers()[self.node.output]

    def _shape_of(self, name: str) -> Shape:
        found = self.graph.shapes.get(name)
        return tuple(self.graph.constants[name].shape) if found is None else found

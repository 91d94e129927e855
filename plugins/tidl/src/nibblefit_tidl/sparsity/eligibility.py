"""Which convolutions are made sparse, and which of them by half the fraction.

Source: tidsp/caffe-jacinto, branch caffe-0.17, src/caffe/net.cpp, FindAndApplyChannelThresholdNet
and GetConnectivitySparsity.
"""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit_tidl.complexity.sparsity import feeds_only_softmax

#: A layer needs this many channels on one side to be thresholded, on both for the full fraction.
WIDE = 32
#: Kernels must be larger than this in both directions.
SMALL_KERNEL = 2


@dataclass(frozen=True, slots=True)
class Convolution:
    """One convolution as the thresholding sees it.

    Attributes:
        name: Name of the node.
        weights: Name of its weight constant, of shape (out, in / groups, kernel height, width).
        shape: That shape.
        groups: Convolution groups.
        share: Part of the asked fraction that the layer gets: 1, or 0.5 where one side is narrow;
            0 if it is never thresholded.
        reason: Why it is never thresholded; empty if it is.
    """

    name: str
    weights: str
    shape: tuple[int, ...]
    groups: int
    share: float
    reason: str = ""

    @property
    def is_eligible(self) -> bool:
        """Whether the layer is thresholded at all."""
        return self.share > 0.0


def convolutions(graph: Graph) -> tuple[Convolution, ...]:
    """Return the convolutions whose zeros count, each weight once, in the order of execution.

    A convolution whose only reader is a softmax is no part of TI's count; it is left out.
    """
    found: dict[str, Convolution] = {}
    readers = graph.consumers()
    for node in graph.nodes:
        if node.op is not Op.CONV or node.inputs[1] not in graph.constants:
            continue
        if feeds_only_softmax(readers[node.output]):
            continue
        shape = tuple(int(size) for size in graph.constants[node.inputs[1]].shape)
        found.setdefault(node.inputs[1], _judged(node, shape))
    return tuple(found.values())


def _judged(node: Node, shape: tuple[int, ...]) -> Convolution:
    groups = int(node.attributes.get("groups", 1))
    share, reason = fraction_share(shape, groups)
    return Convolution(node.name, node.inputs[1], shape, groups, share, reason)


def fraction_share(shape: tuple[int, ...], groups: int) -> tuple[float, str]:
    """Return the share of the fraction that a convolution gets, and why if it gets none.

    Args:
        shape: Of the weights: (out, in / groups, *kernel).
        groups: Convolution groups.
    """
    outputs, inputs, kernel = shape[0], shape[1] * groups, shape[2:]
    if len(kernel) != 2 or min(kernel) <= SMALL_KERNEL:
        size = "x".join(map(str, kernel))
        return 0.0, f"kernel {size}: only kernels above 2x2 are thresholded"
    if groups >= outputs:
        return 0.0, "depthwise: one group per output is never thresholded"
    if inputs < WIDE and outputs < WIDE:
        return 0.0, f"{inputs} inputs and {outputs} outputs: one side needs {WIDE} channels"
    return (1.0 if inputs >= WIDE and outputs >= WIDE else 0.5), ""

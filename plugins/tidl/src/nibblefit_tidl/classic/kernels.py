"""Which convolution kernel runs on EVE, the sparse or the dense one.

The sparse kernel skips weights of zero, the dense one does not: where it is chosen, sparse
training buys no time. Source: classic TIDL importer, conv2dKernelType.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nibblefit.errors import RecipeError
from nibblefit.ir.attributes import window_of
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit_tidl.classic.options import Kernel
from nibblefit_tidl.complexity.weights import weights_of

#: Values of conv2dKernelType.
KERNEL_TYPES: Mapping[Kernel, int] = {"sparse": 0, "dense": 1, "auto": -1}
#: Maps with fewer rows or columns run dense when the choice is automatic.
SMALL_MAP = 64
#: Share of zeros from which a layer counts as sparse; below it nobody meant to skip anything.
_SPARSE = 0.1
#: Layers that a warning names, the others are counted.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """The kernel of one convolution.

    Attributes:
        layer: Its name.
        asked: What was asked for.
        dense: Whether the dense kernel runs.
        sparsity: Share of its weights that are zero.
        warning: Why time is lost, empty if it is not.
    """

    layer: str
    asked: Kernel
    dense: bool
    sparsity: float
    warning: str = ""

    @property
    def kernel_type(self) -> int:
        """Value of conv2dKernelType that was asked for."""
        return KERNEL_TYPES[self.asked]


def kernel_choices(
    graph: Graph, asked: Kernel | Mapping[str, Kernel] = "auto"
) -> tuple[KernelChoice, ...]:
    """Return the kernel of every convolution of a folded graph, in order.

    Raises:
        RecipeError: A layer that is asked for does not exist or is no convolution.
        UnsupportedError: Weights are computed by another layer.
    """
    layers = [node for node in graph.nodes if node.op is Op.CONV]
    if not isinstance(asked, str):
        _refuse_unknown(asked, [node.name for node in layers])
    return tuple(
        _choice(graph, node, asked if isinstance(asked, str) else asked.get(node.name, "auto"))
        for node in layers
    )


def kernel_warnings(choices: Sequence[KernelChoice]) -> list[str]:
    """Return the warnings of all choices; of layers with one and the same reason a single line."""
    wasted = [c for c in choices if c.dense and c.warning and c.asked == "auto"]
    if len(wasted) < 2:
        return [choice.warning for choice in choices if choice.warning]
    rest = [choice.warning for choice in choices if choice.warning and choice not in wasted]
    named = ", ".join(choice.layer for choice in wasted[:_NAMED])
    more = f" and {len(wasted) - _NAMED} more" if len(wasted) > _NAMED else ""
    line = (
        f"{len(wasted)} layers are sparse but run the dense kernel, since their maps are smaller "
        f'than {SMALL_MAP}: {named}{more}; kernel = "sparse" skips their zeros'
    )
    return [line, *rest]


def can_run_dense(graph: Graph, node: Node) -> bool:
    """Return whether a convolution has a dense kernel: 1 wide or 3 × 3, with stride 1."""
    rows, columns, strides = _geometry(graph, node)
    return (columns == 1 or (rows, columns) == (3, 3)) and strides == (1, 1)


def _choice(graph: Graph, node: Node, asked: Kernel) -> KernelChoice:
    weights = weights_of(graph, node)
    sparsity = float(np.count_nonzero(weights == 0) / max(1, weights.size))
    possible = can_run_dense(graph, node)
    small = min((*graph.shapes[node.output][1:], 1 << 30)) < SMALL_MAP
    dense = possible and (asked == "dense" or (asked == "auto" and small))
    return KernelChoice(node.name, asked, dense, sparsity,
                        _warning(node.name, asked, sparsity, dense=dense, small=small))  # fmt: skip


def _warning(layer: str, asked: Kernel, sparsity: float, *, dense: bool, small: bool) -> str:
    if dense and sparsity >= _SPARSE:
        reason = f"its map is smaller than {SMALL_MAP}" if asked == "auto" else "you ask for it"
        return (
            f"layer '{layer}' is {sparsity:.0%} sparse but runs the dense kernel, since {reason}; "
            f'kernel = {{"{layer}" = "sparse"}} skips its zeros'
        )
    if asked == "dense" and not dense:
        return f"layer '{layer}' has no dense kernel (1xN or 3x3 with stride 1); it runs sparse"
    if asked == "sparse" and small and sparsity < _SPARSE:
        return (
            f"layer '{layer}' is {sparsity:.0%} sparse on a map smaller than {SMALL_MAP}; the "
            "dense kernel is likely faster"
        )
    return ""


def _geometry(graph: Graph, node: Node) -> tuple[int, int, tuple[int, ...]]:
    """Return rows and columns of the kernel and its strides; a 1-D kernel is one row."""
    kernel = tuple(weights_of(graph, node).shape[2:])
    strides = window_of(node.attributes, kernel).strides
    if len(kernel) == 1:
        return 1, kernel[0], (1, *strides)
    return kernel[-2], kernel[-1], tuple(strides[-2:])


def _refuse_unknown(asked: Mapping[str, Kernel], layers: list[str]) -> None:
    problems = []
    for name in asked:
        if name not in layers:
            close = difflib.get_close_matches(name, layers, n=1, cutoff=0.4)
            problems.append(
                f"target.kernel '{name}' is no convolution"
                + (f"; did you mean '{close[0]}'?" if close else "")
            )
    if problems:
        raise RecipeError("kernels are chosen for layers that do not exist", problems=problems)

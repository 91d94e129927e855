"""The choice between sparse and dense kernels, and what it warns about."""

from __future__ import annotations

import pytest
from tests.tidl.networks import Net

from nibblefit.errors import RecipeError
from nibblefit.ir.graph import Graph
from nibblefit_tidl.classic.kernels import can_run_dense, kernel_choices, kernel_warnings


def _conv(side: int, kernel: int = 3, stride: int = 1, zeros: float = 0.0) -> Graph:
    net = Net((2, side, side))
    return net.finish(net.conv(net.x, 2, "c", kernel=kernel, stride=stride, zeros=zeros))


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "dense"),
    [(63, 3, 1, True), (64, 3, 1, False), (63, 5, 1, False), (63, 3, 2, False), (63, 1, 1, True)],
)
def test_automatic_choice_follows_the_map(side: int, kernel: int, stride: int, dense: bool) -> None:
    """Dense for 1-wide or 3 × 3 kernels with stride 1 on maps below 64."""
    (choice,) = kernel_choices(_conv(side, kernel, stride))
    assert choice.dense is dense
    assert choice.kernel_type == -1


def test_sparsity_that_does_not_help_is_reported() -> None:
    """A sparse layer on a small map runs dense; asking for sparse removes the warning."""
    graph = _conv(32, zeros=0.8)
    (choice,) = kernel_choices(graph)
    assert "smaller than 64" in choice.warning
    (asked,) = kernel_choices(graph, {"c": "sparse"})
    assert (asked.dense, asked.warning, asked.kernel_type) == (False, "", 0)
    (dense,) = kernel_choices(graph, "dense")
    assert "you ask for it" in dense.warning


def test_asking_for_what_is_not_there_is_reported() -> None:
    """A dense kernel exists only for some shapes, and a dense layer gains nothing from sparse."""
    (choice,) = kernel_choices(_conv(32, kernel=5), "dense")
    assert not choice.dense
    assert "no dense kernel" in choice.warning
    (slow,) = kernel_choices(_conv(32), "sparse")
    assert "likely faster" in slow.warning


@pytest.mark.parametrize(("layers", "more"), [(2, ""), (4, " and 1 more")])
def test_many_layers_with_one_reason_are_one_warning(layers: int, more: str) -> None:
    """Sparse layers on small maps are told together; one alone keeps its own line."""
    net = Net((2, 32, 32))
    last = net.x
    for number in range(layers):
        last = net.conv(last, 2, f"c{number}", kernel=3, zeros=0.8)
    graph = net.finish(last)
    (line,) = kernel_warnings(kernel_choices(graph))
    assert line.startswith(f"{layers} layers are sparse but run the dense kernel")
    assert f"c0, c1{', c2' if layers > 2 else ''}{more}; kernel" in line
    asked = {f"c{number}": "sparse" for number in range(1, layers)}
    (alone,) = kernel_warnings(kernel_choices(graph, asked))
    assert alone.startswith("layer 'c0' is ")
    assert kernel_warnings(kernel_choices(graph, "sparse")) == []


def test_unknown_layers_are_refused() -> None:
    """The nearest name is offered."""
    with pytest.raises(RecipeError) as caught:
        kernel_choices(_conv(8), {"cc": "dense"})
    assert "did you mean 'c'" in caught.value.problems[0]
    with pytest.raises(RecipeError):
        kernel_choices(_conv(8), {"zzzz": "dense"})


def test_one_dimensional_kernels_count_their_width() -> None:
    """A 1-D kernel is one row: dense only when one wide."""
    graph = _conv(8)
    assert can_run_dense(graph, graph.nodes[0])

"""The order of the search, against brute force on invented costs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from nibblefit_maxim.precision.descent import descend

BITS = (8, 4, 2)


@st.composite
def problems(draw: st.DrawFn) -> tuple[dict[str, int], dict[tuple[str, int], int], int]:
    """Return weights per layer, the harm of each width (rising as bits fall), and a budget."""
    layers = [f"layer{i}" for i in range(draw(st.integers(1, 4)))]
    weights = {name: draw(st.integers(1, 100)) for name in layers}
    harm = {}
    for name in layers:
        first, second = draw(st.integers(0, 5)), draw(st.integers(0, 5))
        harm.update({(name, 8): 0, (name, 4): first, (name, 2): first + second})
    return weights, harm, draw(st.integers(0, 12))


@given(problems())
def test_result_holds_the_budget_and_no_single_step_more_would(
    problem: tuple[dict[str, int], dict[tuple[str, int], int], int],
) -> None:
    """With harms that add up, the result is within the budget and cannot be narrowed by one step.

    Its size is never above that of the best choice by more than greed can cost: it is at least as
    small as every choice that narrows one layer only.
    """
    weights, harm, budget = problem
    asked: list[str] = []

    def measure(
        widths: Mapping[str, int], why: str, _layer: str, _bits: int, floor: float | None
    ) -> float:
        asked.append(why)
        assert (floor is None) == (why != "descent")
        return -float(sum(harm[name, width] for name, width in widths.items()))

    found = descend(weights, BITS, float(budget), measure)
    spent = sum(harm[name, width] for name, width in found.widths.items())
    assert spent <= budget
    assert found.metric == -spent
    assert found.start == 0.0
    for name, width in found.widths.items():
        if width != BITS[-1]:
            narrower = BITS[BITS.index(width) + 1]
            assert spent - harm[name, width] + harm[name, narrower] > budget
    assert len(asked) <= 2 * len(weights) * (len(BITS) - 1) + 1
    if spent == 0 or budget == 0:
        free = [
            dict(zip(weights, choice, strict=True))
            for choice in product(BITS, repeat=len(weights))
            if not any(harm[n, w] for n, w in zip(weights, choice, strict=True))
        ]
        best = min(sum(weights[n] * w for n, w in choice.items()) for choice in free)
        assert sum(weights[n] * w for n, w in found.widths.items()) == best


def test_least_harm_per_saved_bit_goes_first() -> None:
    """A large layer that suffers a little is narrowed before a small one that suffers as much."""
    harm = {"large": {8: 0.0, 4: 1.0}, "small": {8: 0.0, 4: 1.0}}
    order: list[str] = []

    def measure(
        widths: Mapping[str, int], why: str, layer: str, _bits: int, _floor: float | None
    ) -> float:
        if why == "descent":
            order.append(layer)
        return -sum(harm[name][width] for name, width in widths.items())

    found = descend({"small": 10, "large": 1000}, (8, 4), 1.5, measure)
    assert order == ["large", "small"]
    assert found.widths == {"small": 8, "large": 4}

"""Operands of several sums: one interleaved form where their partners take turns."""

from __future__ import annotations

import numpy as np
import pytest
from tests.maxim.memory.test_planner import check, conv

from nibblefit_maxim.layers import Eltwise
from nibblefit_maxim.memory.arrangement import Origin
from nibblefit_maxim.parts import MAX78000, PARTS, Part


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.name)
def test_operand_of_two_sums_is_written_once(part: Part, swapped: bool) -> None:
    """Both partners take turns in one slot; the order of a sum's operands does not matter."""
    needs = [
        conv("a", ("x",), 3, 16, side=8), conv("b", ("x",), 3, 16, side=8),
        conv("c", ("a", "b"), 16, 8, side=8, eltwise=Eltwise.ADD),
        conv("d", ("c",), 8, 16, side=8),
        conv("e", ("d", "a") if swapped else ("a", "d"), 16, 8, side=8, eltwise=Eltwise.XOR),
    ]  # fmt: skip
    plan = check(needs, part)
    assert len(plan.layers) == len(needs)
    first, second, one, partner, other = plan.layers
    assert partner.out_offset == second.out_offset == first.out_offset + 4
    assert one.in_offset == other.in_offset == first.out_offset
    assert other.sources == (0, 3)


def test_operands_of_a_difference_keep_their_order() -> None:
    """The shared operand stands in different places of two differences: two forms."""
    needs = [
        conv("a", ("x",), 3, 16, side=8), conv("b", ("x",), 3, 16, side=8),
        conv("c", ("a", "b"), 16, 8, side=8, eltwise=Eltwise.SUB),
        conv("d", ("c",), 8, 16, side=8),
        conv("e", ("d", "a"), 16, 8, side=8, eltwise=Eltwise.SUB),
    ]  # fmt: skip
    plan = check(needs, MAX78000)
    assert [layer.origin for layer in plan.layers].count(Origin.GAP) == 2


def test_operand_of_three_sums_at_once_is_copied() -> None:
    """Partners that are alive together cannot share a slot; the copies cost layers."""
    needs = [conv(name, ("x",), 3, 8, side=8) for name in ("a", "b", "c")]
    needs += [
        conv("d", ("a", "b"), 8, 8, side=8, eltwise=Eltwise.ADD),
        conv("e", ("a", "c"), 8, 8, side=8, eltwise=Eltwise.ADD),
        conv("f", ("d", "e"), 8, 8, side=8, eltwise=Eltwise.ADD),
    ]
    plan = check(needs, MAX78000)
    assert [layer.origin for layer in plan.layers].count(Origin.GAP) <= 2


@pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.name)
def test_random_sums_over_one_pool_of_tensors_are_proven(part: Part) -> None:
    """Whatever is combined with whatever, in any order and number: every plan passes its proof."""
    inserted = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        needs = [conv(f"t{i}", ("x",), 3, 8, side=4) for i in range(int(random.integers(2, 5)))]
        for index in range(int(random.integers(2, 8))):
            made = [need.layer.tensor for need in needs]
            count = int(random.integers(1, 4))
            names = tuple(str(name) for name in random.choice(made, count))
            kind = (Eltwise.ADD, Eltwise.SUB, Eltwise.XOR)[int(random.integers(3))]
            needs.append(
                conv(f"u{index}", names, 8, 8, side=4, eltwise=kind if count > 1 else None)
            )
        plan = check(needs, part)
        inserted += len(plan.layers) - len(needs)
    assert inserted > 0

"""Which samples form which batch."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.training.toys import COUNT, TASK, source

from nibblefit.data.augment import Augmentation
from nibblefit.data.source import Split
from nibblefit.errors import InputError
from nibblefit.training.batches import BatchPlan, SplitReader, TrainingBatches


def shares(plan, epoch):
    """Return [step][process] → (samples, weight)."""
    bounds, order = plan.bounds(), plan.order(epoch)
    return [
        [plan.share_of(order[a:b], process) for process in range(plan.processes)]
        for a, b in pairwise(bounds)
    ]


@given(st.integers(1, 200), st.integers(1, 40), st.integers(1, 4), st.integers(0, 3))
def test_every_sample_once_in_equal_shares(count, size, processes, epoch):
    """An epoch covers all samples once, evenly over processes, with weights that undo the rest."""
    if count < processes or size < processes:
        with pytest.raises(InputError, match="cannot be shared"):
            BatchPlan(count, size, 1, processes)
        return
    steps = shares(BatchPlan(count, size, 1, processes), epoch)
    assert sorted(i for step in steps for own, _ in step for i in own) == list(range(count))
    for step in steps:
        sizes = [len(own) for own, _ in step]
        whole = sum(sizes)
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= 1
        assert whole < size + 2 * processes
        for own, weight in step:
            assert weight / processes == pytest.approx(len(own) / whole)
    if len(steps) > 1:
        assert all(len(own) >= 2 or size < 2 * processes for own, _ in steps[-1])


def test_order_is_fixed_by_seed_and_epoch():
    """Same seed and epoch, same order; anything else differs."""
    plan = BatchPlan(100, 10, 7)
    assert np.array_equal(plan.order(3), BatchPlan(100, 20, 7, 2).order(3))
    assert not np.array_equal(plan.order(3), plan.order(4))
    assert not np.array_equal(plan.order(3), BatchPlan(100, 10, 8).order(3))
    assert len(BatchPlan(100, 10, -1).order(0)) == 100


class Plain:
    """A data source of a stranger: no `take`, targets of any kind."""

    def __init__(self):
        self.data = source()
        self.input_shape, self.class_names = self.data.input_shape, self.data.class_names
        self.split = self.data.split
        self.batch = self.data.batch


def test_sources_without_take_give_the_same_batches():
    """The slow way through samples equals the fast way through arrays."""
    batches = [
        list(TrainingBatches(SplitReader(data, Split.TRAIN, TASK), BatchPlan(COUNT, 16, 1),
                             Augmentation()))
        for data in (source(), Plain())
    ]  # fmt: skip
    assert len(batches[0]) == 4
    for fast, slow in zip(*batches):
        assert fast.inputs.equal(slow.inputs)
        assert fast.target.equal(slow.target)
        assert (fast.weight, fast.size) == (slow.weight, slow.size)

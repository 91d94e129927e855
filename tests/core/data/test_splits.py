"""Division of samples into parts."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.data.splits import divide


@given(
    st.lists(st.integers(0, 4), min_size=0, max_size=80),
    st.integers(0, 100),
    st.integers(0, 2**31),
)
def test_parts_are_disjoint_complete_and_stratified(labels, percent, seed):
    """No sample is lost or used twice, and every class gives its share to within one."""
    share = percent / 100
    kept, taken = divide(np.asarray(labels, np.int64), len(labels), share, seed)
    assert sorted([*kept, *taken]) == list(range(len(labels)))
    assert len(taken) == round(share * len(labels))
    counts = Counter(labels[i] for i in taken)
    for label, size in Counter(labels).items():
        assert abs(counts[label] - size * len(taken) / max(1, len(labels))) < 1
    assert list(taken) == sorted(taken)


def test_seed_fixes_and_changes_the_split():
    """The same seed gives the same split, another seed another one."""
    labels = np.arange(200) % 10
    first = divide(labels, 200, 0.2, 1)[1]
    assert np.array_equal(first, divide(labels, 200, 0.2, 1)[1])
    assert not np.array_equal(first, divide(labels, 200, 0.2, 2)[1])


def test_split_does_not_follow_file_order():
    """Data sorted by class or by time are still drawn from everywhere."""
    taken = divide(None, 1000, 0.1, 3)[1]
    assert taken.min() < 100
    assert taken.max() >= 900


def test_known_split_stays_the_same():
    """The split of a seed never changes between versions: trained networks depend on it."""
    assert divide(np.arange(12) % 3, 12, 0.25, 7)[1].tolist() == [4, 6, 8]

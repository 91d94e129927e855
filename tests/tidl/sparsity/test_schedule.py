"""The ramp against TI's published logs, replayed from the solver settings alone."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from nibblefit_tidl.sparsity.schedule import Edition, Ramp, Schedule

_EVENT = re.compile(r"sparsity_factor=(\S+) sparsity_achieved=(\S+) iter=(\d+)")


def _fire(schedule: Schedule, steps: int, achieved: dict[float, float]) -> list[tuple[int, float]]:
    """Run a ramp; `achieved` says what sparsity each fraction leads to."""
    ramp, reached, events = Ramp(schedule), 0.0, []
    for done in range(1, steps + 1):
        fraction = ramp.ask(done, reached)
        if fraction is not None:
            events.append((schedule.iteration(done), round(fraction, 6)))
            reached = achieved.get(round(fraction, 6), reached)
    return events


def test_jdetnet_log_is_replayed(shared: Path) -> None:
    """VOC 768x320: the twelve events, their iterations and fractions, and no thirteenth."""
    log = (shared / "vendor/tidl/logs/jdetnet_768x320_sparse_schedule.log").read_text()
    published = [(int(i), float(f), float(a)) for f, a, i in _EVENT.findall(log)]
    after = {f: later[2] for (_, f, _), later in pairwise(published)}
    schedule = Schedule(0.7, 0, 0.25, 2000, 0.05, Edition.V0_16)
    assert _fire(schedule, 120_000, after) == [(i, f) for i, f, _ in published]


def test_jacintonet_log_is_replayed(shared: Path) -> None:
    """ImageNet: 81 fractions from 0.01 to 0.81, the first after the test of iteration 20,000."""
    log = (shared / "vendor/tidl/logs/jacintonet11_sparse_stage.log").read_text()
    published = [float(f) for f in re.findall(r"applying sparsity: (\S+)", log)]
    schedule = Schedule(0.8, 20_000, 0.0, 1000, 0.01, Edition.EARLY_0_16)
    events = _fire(schedule, 160_000, {})
    assert [fraction for _, fraction in events] == published
    assert [iteration for iteration, _ in events] == list(range(20_000, 101_000, 1000))
    # The test of every 2,000th iteration is printed before the step that thresholds.
    tests_before = log.split("Finding and applying")[0].count("Test net output")
    assert (tests_before - 1) * 2000 == 20_000


def test_jsegnet_fires_22_times() -> None:
    """0.60 at iteration 1,000 up to 0.81 at 22,000: 0.80 is asked, 0.81 is where it ends."""
    achieved = {round(0.60 + 0.01 * k, 2): 0.60 + 0.01 * k - 0.003 for k in range(30)}
    schedule = Schedule(0.8, 1000, 0.60, 1000, 0.01, Edition.V0_17)
    events = _fire(schedule, 60_000, achieved)
    assert len(events) == 22
    assert events[0] == (1000, 0.60)
    assert events[-1] == (22_000, 0.81)


def test_the_fraction_overshoots_only_so_far() -> None:
    """If caps keep the sparsity low, the fraction ends 0.15 above the target, at most at 0.95."""
    low = Schedule(0.5, 0, 0.4, 10, 0.1, Edition.V0_17)
    assert [f for _, f in _fire(low, 1000, {})] == [0.4, 0.5, 0.6]
    high = Schedule(0.9, 0, 0.9, 10, 0.04, Edition.V0_17)
    assert [f for _, f in _fire(high, 1000, {})] == [0.9, 0.94]


def test_editions_count_differently() -> None:
    """0.17 may threshold at iteration 0; 0.16 counts first, so that it cannot."""
    assert _fire(Schedule(0.5, 0, 0.2, 5, 0.2, Edition.V0_17), 12, {})[0] == (0, 0.2)
    assert _fire(Schedule(0.5, 0, 0.2, 5, 0.2, Edition.V0_16), 12, {})[0] == (5, 0.2)


@pytest.mark.parametrize("edition", list(Edition))
def test_no_target_no_thresholding(edition: Edition) -> None:
    """A target of zero never fires."""
    assert _fire(Schedule(0.0, 0, 0.2, 5, 0.2, edition), 100, {}) == []

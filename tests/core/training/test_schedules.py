"""Learning-rate schedules."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.errors import RecipeError
from nibblefit.recipe import TrainSection
from nibblefit.training.schedules import OPTIONS, make_schedule


def factors(steps, **settings):
    """Return the factor of every step."""
    schedule = make_schedule(TrainSection(**settings), steps)
    return [schedule(step) for step in range(steps)]


@given(
    st.sampled_from(sorted(OPTIONS)),
    st.floats(0, 1),
    st.integers(1, 300),
    st.integers(1, 20),
)
def test_factors_stay_between_zero_and_one(schedule, warmup, steps, epochs):
    """No schedule ever exceeds the peak or turns negative, whatever the length."""
    assert all(0 <= f <= 1 for f in factors(steps, schedule=schedule, warmup=warmup, epochs=epochs))


def test_each_shape_by_hand():
    """Values worked out from each schedule's formula."""
    assert factors(4, schedule="constant") == [1, 1, 1, 1]
    assert factors(4, schedule="poly") == [1, 0.75, 0.5, 0.25]
    assert factors(4, schedule="poly", schedule_options={"power": 2}) == [1, 0.5625, 0.25, 0.0625]
    assert factors(2, schedule="cosine") == pytest.approx([1, 0.5])
    assert factors(2, schedule="cosine", schedule_options={"floor": 0.2}) == pytest.approx([1, 0.6])
    halves = {"milestones": [0.5, 3], "factor": 0.5}
    assert factors(8, schedule="step", epochs=4, schedule_options=halves) == pytest.approx(
        [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25]
    )
    cycle = factors(10, schedule="onecycle", schedule_options={"rise": 0.5, "start": 0, "end": 0})
    assert cycle == pytest.approx([0.5 - 0.5 * math.cos(math.pi * i / 5) for i in range(10)])


def test_warmup_rises_in_a_line_and_milestones_keep_their_place():
    """Warm-up reaches the peak; it does not move the milestones."""
    assert factors(8, schedule="constant", warmup=0.5) == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    late = factors(8, schedule="step", epochs=4, warmup=0.25, schedule_options={"milestones": [3]})
    assert late == pytest.approx([0.5, 1, 1, 1, 1, 1, 0.1, 0.1])


@pytest.mark.parametrize(
    ("schedule", "options"),
    [
        ("constant", {"a": 1}),
        ("poly", {"power": 0}),
        ("step", {"factor": -1}),
        ("soft_start", {"soft_start": 0.8, "annealing": 0.3}),
    ],
)
def test_unfitting_options_are_refused(schedule, options):
    """Options of another schedule, or out of range, are recipe errors."""
    with pytest.raises(RecipeError, match="schedule_options"):
        factors(4, schedule=schedule, schedule_options=options)


def test_soft_start_schedules_are_the_vendors(shared):
    """Rates recorded from NVIDIA TAO, to 1e-12 relative; the whole cosine ends at its floor."""
    cases = json.loads((shared / "vendor" / "tao" / "oracles" / "lr_schedules.json").read_text())
    assert len(cases) == 7
    for case in cases:
        # Several GPUs scale both rates.
        peak, floor = case["max_learning_rate"], case["min_learning_rate"]
        options = {"soft_start": case["soft_start"], "floor": floor / peak}
        if case["kind"] == "soft_start_annealing":
            name, options["annealing"] = "soft_start", case["annealing"]
        else:
            name, options["cut_short"] = "soft_start_cosine", True
        section = TrainSection(schedule=name, schedule_options=options)
        schedule = make_schedule(section, 1000)
        for share, rate in case["points"]:
            ours = schedule(round(share * 1000)) * peak * case.get("gpus", 1)
            assert ours == pytest.approx(rate, rel=1e-12), (case["kind"], share)
    whole = {"soft_start": 0.3, "floor": 0.01}
    end = make_schedule(TrainSection(schedule="soft_start_cosine", schedule_options=whole), 1000)
    assert end(1000) == pytest.approx(0.01)

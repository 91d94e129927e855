"""What the task protocol says about metrics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nibblefit.tasks.protocol import rises


def task(metric: str, *, maximize: bool, **more: Any) -> Any:
    """Return as much of a task as says which way its metrics go."""
    return SimpleNamespace(metric=metric, maximize=maximize, **more)


def test_the_task_says_which_way_its_own_metric_goes() -> None:
    """Whatever the name suggests."""
    assert not rises("score", task("score", maximize=False))
    assert rises("loss", task("loss", maximize=True))


def test_further_metrics_have_directions_of_their_own() -> None:
    """A task that maximises one metric may report errors beside it."""
    judge = task("top1", maximize=True, directions={"drift": False, "wer": True})
    assert not rises("drift", judge)
    assert rises("wer", judge)
    assert not rises("rmse", judge)
    assert rises("top5", judge)


@pytest.mark.parametrize(
    ("name", "up"),
    [
        ("top1", True), ("miou", True), ("psnr", True), ("f1", True), ("sparsity", True),
        ("loss", False), ("validation_loss", False), ("depth/rmse", False), ("weight_bytes", False),
        ("macs", False), ("mean error", False), ("terror", True), ("lossless", True),
    ],
)  # fmt: skip
def test_without_a_word_of_the_task_the_name_decides(name: str, up: bool) -> None:
    """Costs and errors are better when smaller; words are compared as a whole."""
    assert rises(name) is up
    assert rises(name, task("top1", maximize=True) if name != "top1" else None) is up

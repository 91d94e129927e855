"""Numbers as people read them."""

from __future__ import annotations

import pytest

from nibblefit.report import wording


@pytest.mark.parametrize(
    ("name", "share"),
    [("top1", True), ("val_top5", True), ("accuracy", True), ("map", True), ("mAP50", True),
     ("miou", True), ("loss", False), ("psnr", False), ("topology", False), ("mse", False)],
)  # fmt: skip
def test_shares_are_known_by_name(name: str, share: bool) -> None:
    """Accuracies are shares of one, losses are not."""
    assert wording.is_fraction(name) is share


@pytest.mark.parametrize(
    ("name", "share"),
    [("sparsity", True), ("sparsity_by_macs", True), ("sparsityx", False), ("top1", False)],
)
def test_shares_of_zeros_are_known_by_name(name: str, share: bool) -> None:
    """They are shown in percent like accuracies, but are none."""
    assert wording.is_share(name) is share
    assert wording.metric(name, 0.5) == ("50.00 %" if share or name == "top1" else "0.5")
    assert not wording.is_fraction("sparsity_by_macs")


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "–"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (2311, "2.3 KiB"),
     (1024 * 1024, "1.00 MiB")],
)  # fmt: skip
def test_sizes(count: int | None, text: str) -> None:
    """Bytes are exact below one KiB and rounded above."""
    assert wording.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.421, "0.42 s"), (43.21, "43.2 s"), (59.96, "1 min 00 s"),
     (185.0, "3 min 05 s"), (7800.0, "2 h 10 min")],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    """Times use the units people use, also where rounding crosses into the next one."""
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [("top1", 0.98612, "98.61 %"), ("weight_bytes", 10240.0, "10.0 KiB"),
     ("macs", 1234567.0, "1,234,567"), ("loss", 0.042137, "0.04214"),
     ("mmac", 405.81, "405.81"), ("mmac", 2130.051, "2,130.05"), ("loss", 1.5e7 + 0.5, "1.5e+07"),
     ("loss", float("nan"), "nan")],
)  # fmt: skip
def test_metrics(name: str, value: float, text: str) -> None:
    """Shares, sizes, counts and other numbers each read as what they are."""
    assert wording.metric(name, value) == text


def test_changes_say_which_way_they_go() -> None:
    """Percentage points without a sign: a gain is called a gain; zero is none, a trace is not."""
    assert wording.change(0.0028) == "drop 0.28 points"
    assert wording.change(-0.0028) == "gain 0.28 points"
    assert wording.change(-0.0) == "none"
    assert wording.change(1e-6) == "under 0.01 points"


def test_a_first_run_is_called_so() -> None:
    """The runner's reason for a step without result reads plainly; changes stay as they are."""
    assert wording.reason("not run yet") == "first run"
    assert wording.reason("train.epochs 1 → 2") == "train.epochs 1 → 2"


@pytest.mark.parametrize(
    ("cell", "text"),
    [(None, "–"), (True, "yes"), (1234567, "1,234,567"), (0.123456789, "0.12346"), ("a", "a")],
)
def test_cells(cell: object, text: str) -> None:
    """Table cells read like prose."""
    assert wording.cell(cell) == text

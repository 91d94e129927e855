"""Numbers as people read them: percent, sizes, durations, table cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Metrics that are fractions of one and are shown in percent.
FRACTIONS = ("top", "accuracy", "precision", "recall", "f1", "iou", "map", "ap")
#: Metrics so called, or so called with more words behind it (``sparsity_by_macs``), are shown in
#: percent as well, but say nothing about how good a network is.
_SHARE = "sparsity"


def is_fraction(name: str) -> bool:
    """Return whether a metric of this name is a share between 0 and 1."""
    word = name.lower().rsplit("/", 1)[-1].removeprefix("val_").removeprefix("validation_")
    word = word.removeprefix("train_").removeprefix("m").rstrip("0123456789")
    return word in FRACTIONS or f"m{word}" in FRACTIONS or word.endswith("accuracy")


def is_share(name: str) -> bool:
    """Return whether a metric of this name is a share of zeros."""
    return name == _SHARE or name.startswith(f"{_SHARE}_")


def metric(name: str, value: float) -> str:
    """Return a metric in percent with two decimals, as a size or count, or with four digits.

    From 100 to a million, two decimals stand behind the point: 405.81, 2,130.05.
    """
    if is_fraction(name) or is_share(name):
        return f"{100 * value:.2f} %"
    if float(value).is_integer() and abs(value) < 2**53:
        return size(int(value)) if name.endswith("_bytes") else f"{int(value):,}"
    return f"{value:,.2f}" if 100 <= abs(value) < 1e6 else f"{value:.4g}"


def change(drop: float) -> str:
    """Return ``drop 0.28 points``, ``gain 0.28 points`` or ``none``, in percentage points."""
    points = f"{100 * abs(drop):.2f} points"
    if points == "0.00 points":
        return "none" if drop == 0 else "under 0.01 points"
    return f"{'drop' if drop > 0 else 'gain'} {points}"


def reason(text: str) -> str:
    """Return why a step ran; the runner's word for a step without earlier result is put plainly."""
    return "first run" if text == "not run yet" else text


def kept_epoch(extra: Mapping[str, Any]) -> str:
    """Return which epoch a training ended with, and why, from what it left with its model."""
    facts = extra.get("kept_epoch")
    if not isinstance(facts, Mapping) or not {"epoch", "epochs", "why"} <= facts.keys():
        return ""
    return f"kept epoch {facts['epoch']} of {facts['epochs']}: {facts['why']}"


def size(count: int | None) -> str:
    """Return bytes in B, KiB or MiB; exact below one KiB."""
    if count is None:
        return "–"
    if count < 1024:
        return f"{count} B"
    if count < 1024 * 1024:
        return f"{count / 1024:.1f} KiB"
    return f"{count / 1024 / 1024:.2f} MiB"


def duration(seconds: float | None) -> str:
    """Return a time: 0.42 s, 12.3 s, 3 min 05 s, 2 h 10 min."""
    if seconds is None:
        return "–"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def cell(value: Any) -> str:
    """Return a table cell: thousands separated, at most five significant digits."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.5g}" if isinstance(value, float) else str(value)

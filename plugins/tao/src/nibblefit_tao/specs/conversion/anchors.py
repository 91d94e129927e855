"""Anchors of an SSD spec in the words of task ``detection``."""

from __future__ import annotations

from typing import Any

from nibblefit_tao.specs.conversion.taking import Taking

#: Feature maps that TAO's SSD looks at, whatever its backbone.
LEVELS = 6


def anchors(taking: Taking, at: str, notes: list[str]) -> tuple[dict[str, Any], Any]:
    """Return anchor options and the number of anchors: of all levels, or of each.

    Args:
        taking: The spec.
        at: ``ssd_config`` or ``dssd_config``.
        notes: Is added to.

    Raises:
        InputError: Lists are missing or of the wrong length; names the line.
    """
    squares = 2 if taking.flag(f"{at}.two_boxes_for_ar1") else 1
    ratios, nested = _ratios(taking, at)
    variances = _row(taking, f"{at}.variances", 4)
    options: dict[str, Any] = {
        "two_squares": squares == 2,
        "ratios": ratios,
        "clip": taking.flag(f"{at}.clip_boxes"),
        "variances": variances or [0.1, 0.1, 0.2, 0.2],
    }
    scales = _row(taking, f"{at}.scales", LEVELS + 1)
    if scales is None:
        low, high = taking.get(f"{at}.min_scale", 0.1), taking.get(f"{at}.max_scale", 0.9)
        scales = [low + (high - low) * step / LEVELS for step in range(LEVELS + 1)]
    options["scales"] = scales
    if steps := _row(taking, f"{at}.steps", LEVELS):
        options["steps"] = steps
    if offsets := _row(taking, f"{at}.offsets", LEVELS):
        options["offset"] = offsets[0]
        if len(set(offsets)) > 1:
            notes.append(f"line {taking.spec.lines[f'{at}.offsets']}: {at}.offsets differ from "
                         "level to level; the first serves all")  # fmt: skip
    counts = [squares + len(level) for level in ratios]
    return options, counts if nested else counts[0]


def _ratios(taking: Taking, at: str) -> tuple[list[list[float]], bool]:
    """Return ratios other than 1 of all levels or of each, and whether it is each."""
    field = f"{at}.aspect_ratios"
    lists = taking.numbers(field)
    if lists is None:
        field = f"{at}.aspect_ratios_global"
        lists = taking.numbers(field)
    if not isinstance(lists, list) or not lists:
        raise taking.spec.wrong(field if taking.spec.has(field) else at, "has no aspect ratios",
                                hint="set aspect_ratios_global")  # fmt: skip
    nested = isinstance(lists[0], list)
    levels: list[Any] = lists if nested else [lists]
    if nested and len(levels) != LEVELS:
        raise taking.spec.wrong(field, f"holds {len(levels)} lists; expected {LEVELS}")
    found = []
    for level in levels:
        if not isinstance(level, list) or any(isinstance(r, list) or r <= 0 for r in level):
            raise taking.spec.wrong(field, "is no list of ratios above 0, nor one for each level")
        if 1.0 not in level:
            raise taking.spec.wrong(field, "has a level without the ratio 1.0")
        found.append([float(ratio) for ratio in level if ratio != 1.0])
    return found, nested


def _row(taking: Taking, field: str, length: int) -> list[float] | None:
    row = taking.row(field)
    if row is not None and len(row) != length:
        raise taking.spec.wrong(field, f"holds {len(row)} numbers; expected {length}")
    return row

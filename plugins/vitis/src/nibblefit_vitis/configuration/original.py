"""What the original does to a file before it means anything: values it drops, and why it stops.

Used in parity mode only. Source: pytorch_nndct 3.5, read and run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nibblefit_vitis.configuration.json_text import KeyPath
from nibblefit_vitis.configuration.keys import (
    KINDS_KEY,
    LAYERS,
    OVERALL,
    SCALE_TYPE_ALIAS,
    SWITCHES,
    TENSORS,
)
from nibblefit_vitis.configuration.problems import Problems, dotted, shown
from nibblefit_vitis.settings import Kind, Statistic

#: Switches that are reserved there: nothing happens.
RESERVED = ("keep_first_last_layer_accuracy", "keep_add_layer_accuracy")


def as_original(
    document: dict[str, Any], problems: Problems
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a file without what the original ignores, and a note on each omission.

    Args:
        document: The file; left as it is.
        problems: Gets what the original refuses and our default mode accepts.
    """
    notes: list[str] = []
    kept = _without_wrong_switches(document, notes)
    if "target_device" not in document:
        problems.add((), "target_device is missing; accepted is DPU, CPU, GPU, FLEXML",
                     'add "target_device": "DPU"')  # fmt: skip
    for path, block in _blocks(kept):
        _drop_falsy(path, block, notes)
        _refuse(path, block, problems)
    return kept, tuple(notes)


def _without_wrong_switches(document: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    kept: dict[str, Any] = _copied(document)
    for key in SWITCHES:
        if key in kept and not isinstance(kept[key], bool):
            notes.append(f"{key} = {shown(kept.pop(key))} is ignored, as the original does with "
                         "anything but true and false")  # fmt: skip
    for key in RESERVED:
        if kept.get(key) is True:
            notes.append(f"{key} does nothing, as in the original")
    listed = kept.pop(KINDS_KEY, None)
    if listed is not None and (not isinstance(listed, list) or {*map(str, listed)} != {*Kind}):
        notes.append(f"{KINDS_KEY} at the top level is ignored, as in the original: all four "
                     "kinds are quantized")  # fmt: skip
    return kept


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _blocks(document: dict[str, Any]) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """Yield every quantization block with its path."""
    entries = document.get(LAYERS)
    places: list[tuple[KeyPath, Any]] = [((), document)]
    if isinstance(entries, list):
        places += [((LAYERS, number), entry) for number, entry in enumerate(entries)]
    for path, holder in places:
        if not isinstance(holder, dict):
            continue
        if isinstance(holder.get(OVERALL), dict):
            yield (*path, OVERALL), holder[OVERALL]
        tensors = holder.get(TENSORS)
        for kind, block in tensors.items() if isinstance(tensors, dict) else ():
            if isinstance(block, dict):
                yield (*path, TENSORS, kind), block


def _drop_falsy(path: KeyPath, block: dict[str, Any], notes: list[str]) -> None:
    """Zeros and empty texts count as left out where the original tests for truth."""
    for key in ("bit_width", "method", "round_mode", "scale_type", "calib_statistic_method"):
        if key in block and block[key] is not None and not block[key]:
            where = dotted((*path, key))
            notes.append(f"{where} = {shown(block.pop(key))} is ignored, as in the original")
    if path[-1] in ("weights", "bias") and block.pop("calib_statistic_method", None) is not None:
        notes.append(f"{dotted(path)}.calib_statistic_method is ignored, as in the original: "
                     "parameters have no batches")  # fmt: skip


def _refuse(path: KeyPath, block: dict[str, Any], problems: Problems) -> None:
    percentage = block.get("percentage")
    if isinstance(percentage, int) and not isinstance(percentage, bool):
        problems.add((*path, "percentage"), f"{dotted(path)}.percentage = {percentage}; the "
                     "original accepts numbers with a decimal point only",
                     f"write {percentage}.0")  # fmt: skip
    if block.get("scale_type") == SCALE_TYPE_ALIAS:
        problems.add((*path, "scale_type"), f'{dotted(path)}.scale_type = "{SCALE_TYPE_ALIAS}"; '
                     "the original accepts poweroftwo, float", 'write "poweroftwo"')  # fmt: skip
    if block.get("calib_statistic_method") == Statistic.POOLED:
        problems.add((*path, "calib_statistic_method"), f"{dotted(path)}.calib_statistic_method = "
                     '"pooled"; the original accepts modal, max, mean, median',
                     "leave parity off, or choose one of them")  # fmt: skip

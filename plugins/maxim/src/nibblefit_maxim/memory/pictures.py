"""The memory plan as pictures for the report, in the form `nibblefit.report.memory` draws."""

from __future__ import annotations

from typing import Any

from nibblefit_maxim.memory.figures import instance_bytes
from nibblefit_maxim.memory.plan import LayerPlan, MemoryPlan
from nibblefit_maxim.parts import (
    PROCESSORS,
    PROCESSORS_PER_INSTANCE,
    PROCESSORS_PER_QUADRANT,
    QUADRANTS,
)


def pictures(plan: MemoryPlan) -> tuple[dict[str, Any], ...]:
    """Return how full weight, bias and data memories are, for ``Artifact.notes["memory"]``."""
    part = plan.part
    fullest = [max(fill) for fill in zip(*instance_bytes(plan), strict=True)]
    return (
        *_parameters(plan),
        _banks(
            "Data memory of each instance at its fullest",
            "instance",
            "bytes",
            fullest,
            part.instance_bytes,
            PROCESSORS_PER_QUADRANT // PROCESSORS_PER_INSTANCE,
        ),
        {
            "kind": "grid",
            "title": "Data memory over time",
            "unit": "bytes",
            "bank": "instance",
            "capacity": part.instance_bytes,
            "layers": [layer.name for layer in plan.layers],
            "used": instance_bytes(plan),
        },
        {
            "kind": "timeline",
            "title": "Addresses in data memory",
            "unit": "bytes",
            "capacity": part.instance_bytes,
            "spans": [span for layer in plan.layers for span in _spans(layer)],
        },
    )


def _parameters(plan: MemoryPlan) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the pictures of weight memory and of bias memory."""
    room = [plan.part.kernel_room(processor) for processor in range(PROCESSORS)]
    return (
        _banks("Weight memory of each processor", "processor", "words of 72 bits",
               list(plan.kernel_words), room, PROCESSORS // QUADRANTS),
        _banks("Bias memory of each quadrant", "quadrant", "bytes", list(plan.bias_bytes),
               plan.part.bias_bytes),
    )  # fmt: skip


def _banks(  # noqa: PLR0917 - one row of a table
    title: str, bank: str, unit: str, used: list[int], capacity: int | list[int], group: int = 0
) -> dict[str, Any]:
    return {
        "kind": "banks", "title": title, "unit": unit, "bank": bank, "used": used,
        "capacity": capacity, "group": group,
    }  # fmt: skip


def _spans(layer: LayerPlan) -> tuple[dict[str, Any], dict[str, Any]]:
    read = layer.in_offset, layer.in_offset + layer.input_bytes
    write = layer.out_offset, layer.out_offset + layer.output_bytes
    return (
        {"layer": layer.name, "access": "read", "start": read[0], "stop": read[1]},
        {"layer": layer.name, "access": "write", "start": write[0], "stop": write[1]},
    )

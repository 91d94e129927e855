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
    return (
        {
            "kind": "banks",
            "title": "Weight memory of each processor",
            "unit": "words of 72 bits",
            "bank": "processor",
            "used": list(plan.kernel_words),
            "capacity": part.kernel_words,
            "group": PROCESSORS // QUADRANTS,
        },
        {
            "kind": "banks",
            "title": "Bias memory of each quadrant",
            "unit": "bytes",
            "bank": "quadrant",
            "used": list(plan.bias_bytes),
            "capacity": part.bias_bytes,
        },
        {
            "kind": "banks",
            "title": "Data memory of each instance at its fullest",
            "unit": "bytes",
            "bank": "instance",
            "used": [max(fill) for fill in zip(*instance_bytes(plan), strict=True)],
            "capacity": part.instance_bytes,
            "group": PROCESSORS_PER_QUADRANT // PROCESSORS_PER_INSTANCE,
        },
        {
            "kind": "timeline",
            "title": "Data memory of an instance",
            "unit": "bytes",
            "capacity": part.instance_bytes,
            "spans": [span for layer in plan.layers for span in _spans(layer)],
        },
    )


def _spans(layer: LayerPlan) -> tuple[dict[str, Any], dict[str, Any]]:
    read = layer.in_offset, layer.in_offset + layer.input_bytes
    write = layer.out_offset, layer.out_offset + layer.output_bytes
    return (
        {"layer": layer.name, "access": "read", "start": read[0], "stop": read[1]},
        {"layer": layer.name, "access": "write", "start": write[0], "stop": write[1]},
    )

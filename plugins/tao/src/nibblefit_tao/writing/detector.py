"""What runs behind a detector's engine, as numbers: anchors, decoding, suppression of overlaps."""

from __future__ import annotations

import json
import re
from typing import Any

import torch

from nibblefit.ir.graph import Graph
from nibblefit.recipe import DataSection
from nibblefit.tasks.detection import Detection
from nibblefit.tasks.detection.anchors import layout
from nibblefit.tasks.detection.heads import paired, shapes_of
from nibblefit.tasks.detection.suppression import LOOKED_AT

_NUMBERS = re.compile(r"\[([-+.e\d\s,]+)\]")


def detector_text(network: Graph, task: Detection, data: DataSection) -> str:
    """Return a detector's description as JSON.

    Raises:
        InputError: The network's outputs are no heads of such a detector.
    """
    text = json.dumps(_described(network, task, data), indent=1)
    # Lists of numbers on one line each.
    return (
        _NUMBERS.sub(lambda found: "[" + re.sub(r"\s+", " ", found[1]).strip() + "]", text) + "\n"
    )


def _described(network: Graph, task: Detection, data: DataSection) -> dict[str, Any]:
    options, (name,) = task.options, network.inputs
    channels, height, width = network.shapes[name]
    maps = {one: torch.empty(1, *network.shapes[one], device="meta") for one in network.outputs}
    names = {id(value): one for one, value in maps.items()}
    pairs = paired(list(maps.values()), len(task.class_names))
    anchors = layout(shapes_of(pairs), (height, width), options)
    return {
        "input": {
            "name": name, "shape": [channels, height, width],
            "range": list(data.range or (0.0, 1.0)), "mean": list(data.mean),
            "std": list(data.std),
        },
        "classes": ["background", *task.class_names],
        "activation": options.activation,
        "variances": list(options.variances),
        "clip_anchors": options.clip,
        "least_score": options.score,
        "candidates": LOOKED_AT * options.keep,
        "largest_overlap": options.overlap,
        "most_boxes": options.keep,
        "heads": [
            {
                "locations": names[id(locations)], "scores": names[id(scores)],
                "places": [one.head.height, one.head.width], "step": list(one.step),
                "offset": one.offset, "anchors": one.sizes.tolist(),
            }
            for (locations, scores), one in zip(pairs, anchors, strict=True)
        ],
    }  # fmt: skip

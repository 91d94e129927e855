"""Saving and loading a `Model` between stages: ``model.json`` and ``model.npz`` in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nibblefit.ir import archive
from nibblefit.ir.archive import Arrays
from nibblefit.ir.encoding import decode_value, encode_value, expect, texts
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.store import decoded, graph_arrays, graph_body, graph_from
from nibblefit.models import Model

MODEL = "model"


def save_model(model: Model, folder: Path) -> None:
    """Write a model into a folder; WorkspaceError if that fails."""
    archive.save(folder, MODEL, _body(model), _arrays(model))


def load_model(folder: Path) -> Model:
    """Return the model of a folder; InputError if it is damaged in any way."""
    body, arrays = archive.load(folder, MODEL)
    return decoded(folder, lambda: _model_from(body, arrays))


def digest_model(model: Model) -> str:
    """Return the SHA-256 of a model over its canonical bytes."""
    return archive.digest_of([MODEL, _body(model)], _arrays(model))


def _body(model: Model) -> dict[str, Any]:
    return {
        "graph": graph_body(model.graph),
        "masks": list(model.masks),
        "phase": model.phase,
        "extra": encode_value(model.extra),
        "arrays": list(model.arrays),
        "history": [encode_value(epoch) for epoch in model.history],
    }


def _arrays(model: Model) -> Arrays:
    return {
        **graph_arrays(model.graph),
        **{f"mask/{name}": mask for name, mask in model.masks.items()},
        **{f"array/{name}": array for name, array in model.arrays.items()},
    }


def _model_from(body: Any, arrays: Arrays) -> Model:
    masks = {name: arrays[f"mask/{name}"] for name in texts(body["masks"])}
    for name, mask in masks.items():
        if mask.dtype != np.bool_:
            raise TypeError(f"mask '{name}' is {mask.dtype}")
    history = [decode_value(expect(epoch, dict)) for epoch in expect(body["history"], list)]
    return Model(
        graph=graph_from(body["graph"], arrays),
        masks=frozen_mapping(masks),
        phase=expect(body["phase"], str),
        extra=frozen_mapping(decode_value(expect(body["extra"], dict))),
        arrays=frozen_mapping({name: arrays[f"array/{name}"] for name in texts(body["arrays"])}),
        history=tuple(frozen_mapping(epoch) for epoch in history),
    )

"""Networks from files and factories, and pruned ones as files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nibblefit.cli.input_shapes import parsed_shape, stated_shape
from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph
from nibblefit.nn.load import load_source, states_its_shape
from nibblefit.nn.onnx_export.entry import to_onnx
from nibblefit.recipe import ModelSection, RunSection
from nibblefit.workspace.storage import make_folder, write_file
from nibblefit_tao.pruning.module import Pruned
from nibblefit_tao.pruning.plan import write_plan


def load_network(source: str, weights: Path | None, shape: str) -> Graph:
    """Return the graph of a network named as in a recipe, relative to the current folder.

    Raises:
        InputError: It cannot be loaded, or the shape of its input is not known.
    """
    given = parsed_shape(shape)
    wanted = given or stated_shape(source)
    if not wanted and not states_its_shape(source):
        raise InputError(f"the shape of one input of {source} is not known",
                         hint="add --input-shape, channels first, such as 3,300,300")  # fmt: skip
    try:
        model = ModelSection(source=source, input_shape=wanted, weights=str(weights or ""))
    except ValueError as error:
        raise InputError(f"'{source[:60]}' names no network: {error}") from None
    # As in a run: weights that a factory draws are the same each time.
    torch.manual_seed(RunSection().seed)
    return load_source(model, Path.cwd(), wanted)


def write_pruned(pruned: Pruned, folder: Path) -> list[Path]:
    """Write model.onnx, weights.npz and plan.json; returns their paths."""
    make_folder(folder)
    buffer = io.BytesIO()
    constants: dict[str, Any] = dict(pruned.graph.constants)
    np.savez(buffer, **constants)
    onnx, weights, plan = (folder / name for name in ("model.onnx", "weights.npz", "plan.json"))
    write_file(onnx, to_onnx(pruned.graph).SerializeToString(deterministic=True))
    write_file(weights, buffer.getvalue())
    write_plan(pruned.plan, plan)
    return [onnx, weights, plan]

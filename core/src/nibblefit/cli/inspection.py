"""Capture a network and ask a target about it, without a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nibblefit.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from nibblefit.hooks import TargetInfo
    from nibblefit.results import Report


def chosen_part(info: TargetInfo, part: str) -> str:
    """Return the device meant by the user: the given one, else the target's first, if any.

    Raises:
        InputError: The target has no such part.
    """
    if not part:
        return info.parts[0] if info.parts else ""
    if part not in info.parts:
        known = did_you_mean(part, info.parts) if info.parts else "it has just one: leave it out"
        raise InputError(f"target '{info.name}' has no part '{part}'; {known}")
    return part


def inspected(source: str, target: str, part: str, input_shape: tuple[int, ...]) -> Report:
    """Return the target's support and fit table of a network.

    Args:
        source: As in a recipe's ``model.source``; relative to the current folder.
        target: Name of the target.
        part: Device, empty for the target's first.
        input_shape: One input, channels first; empty where the source knows it.
    """
    from nibblefit.plugins import Manager, load_target

    plugin = load_target(target)
    device = chosen_part(plugin.info, part)
    if not input_shape and not source.endswith(".onnx"):
        raise InputError(
            f"the shape of one input of {source} is not known",
            hint="add --input-shape, channels first, such as --input-shape 1,28,28",
        )
    from nibblefit.nn.load import load_source
    from nibblefit.recipe import ModelSection

    model = ModelSection(source=source, input_shape=input_shape)
    graph = load_source(model, Path.cwd(), input_shape)
    return Manager(plugin).inspect(graph, device, None)

"""Capture a network and ask a target about it, without a run folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nibblefit.cli.input_shapes import CONSTANT, stated_shape, written
from nibblefit.errors import InputError, did_you_mean
from nibblefit.report import wording
from nibblefit.results import Finding, Status

if TYPE_CHECKING:
    from nibblefit.hooks import TargetInfo
    from nibblefit.ir.graph import Graph
    from nibblefit.nn.load import Formats
    from nibblefit.results import Report

#: ``x_limit`` says how large the metric ``x``, or ``x_peak``, may be.
_LIMIT, _PEAK = "_limit", "_peak"

#: Characters of a source that are shown where it is none.
_SHOWN = 60


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
    """Return the target's support and fit table of a network, and a layer summary.

    Args:
        source: As in a recipe's ``model.source``; relative to the current folder.
        target: Name of the target.
        part: Device, empty for the target's first.
        input_shape: One input, channels first; empty for what the source states.

    Raises:
        InputError: The network cannot be loaded, or fails on an input of this shape.
    """
    from nibblefit.defaults.summary import summary_table
    from nibblefit.nn.load import states_its_shape
    from nibblefit.plugins import Manager, load_target

    plugin = load_target(target)
    device = chosen_part(plugin.info, part)
    manager = Manager(plugin)
    formats = manager.model_formats()
    shape = input_shape or stated_shape(source)
    # Without a colon it is no factory: then the network is missing, not its shape.
    if not shape and ":" in source and not states_its_shape(source, formats):
        raise InputError(
            f"the shape of one input of {source} is not known",
            hint="add --input-shape, channels first, such as --input-shape 1,28,28, or "
            f"{CONSTANT} = (1, 28, 28) to the file",
        )
    graph = _captured(source, shape, formats)
    found = manager.inspect(graph, device, None)
    return replace(found, tables=(*found.tables, summary_table(graph)))


def _captured(source: str, shape: tuple[int, ...], formats: Formats) -> Graph:
    from pydantic import ValidationError

    from nibblefit.nn.load import load_source
    from nibblefit.recipe import ModelSection

    try:
        model = ModelSection(source=source, input_shape=shape)
    except ValidationError as error:
        reasons = "; ".join(str(problem["msg"]) for problem in error.errors())
        raise InputError(
            f"'{source[:_SHOWN]}' names no network: {reasons}",
            hint="give 'path/file.py:factory', 'package.module:factory', 'net.onnx' or a file in a "
            "format that the target reads",
        ) from error
    try:
        return load_source(model, Path.cwd(), shape, formats=formats)
    except InputError as error:
        # Only what the network itself raised may come from the shape; nibblefit says what it means.
        if "input_shape" not in error.hint or error.__cause__ is None:
            raise
        raise InputError(" ".join(error.what.split()), hint=_shape_hint(source, shape)) from error


def _shape_hint(source: str, shape: tuple[int, ...]) -> str:
    stated = stated_shape(source)
    if stated and stated != shape:
        return f"the file states --input-shape {written(stated)}; leave the option out to use it"
    given = f"the {CONSTANT} of the file" if stated else f"--input-shape {written(shape)}"
    return f"correct {given} (channels first, without batch axis), or the network"


def notable(report: Report) -> tuple[Finding, ...]:
    """Return the findings that ask for attention."""
    return tuple(f for f in report.findings if f.status in (Status.WARNING, Status.FAILED))


def closing_lines(report: Report) -> list[str]:
    """Return what was found about the network as a whole, and its totals."""
    lines = [f.message for f in report.findings if f.status is Status.PASSED and not f.where]
    limits = {n.removesuffix(_LIMIT): v for n, v in report.metrics.items() if n.endswith(_LIMIT)}
    totals = []
    for name, value in report.metrics.items():
        if name.endswith(_LIMIT):
            continue
        limit = limits.get(name.removesuffix(_PEAK), limits.get(name))
        of = f" of {wording.metric(name, limit)}" if limit is not None else ""
        totals.append(f"{name.replace('_', ' ')} {wording.metric(name, value)}{of}")
    return [*lines, *([f"total: {', '.join(totals)}"] if totals else [])]

"""What a program on the board must know: scalings, layout, preprocessing, fingerprint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from nibblefit.data.scaling import Scaling
from nibblefit.ir.graph import Graph, Shape
from nibblefit_vitis.formats import FixPosition, FloatScale, NetworkFormats
from nibblefit_vitis.grouping import carriers
from nibblefit_vitis.settings import RoundMode
from nibblefit_vitis.writing.arch import Arch

#: Where a value exactly between two codes goes, by round mode.
_TIES = {
    RoundMode.HALF_UP: "up",
    RoundMode.HALF_DOWN: "toward zero",
    RoundMode.STD_ROUND: "away from zero",
    RoundMode.HALF_EVEN: "to the even one",
}


@dataclass(frozen=True, slots=True)
class End:
    """An input or an output of the network.

    Attributes:
        name: Of the tensor.
        xmodel_name: Of the operator in the xmodel; empty where there is none.
        shape: As on the board, batch 1: channels last.
        layout: Of its axes.
        bits: Width of a code.
        fix_position: None for float scales.
        scaling: An input is multiplied with it before it is rounded, an output after it was read.
        zero_point: Code of 0.
    """

    name: str
    xmodel_name: str
    shape: tuple[int, ...]
    layout: str
    bits: int
    fix_position: int | None
    scaling: float
    zero_point: int = 0


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """From stored values to real inputs: ``(stored - mean) * scale`` per channel.

    Attributes:
        mean, scale: Per channel.
        stored: Smallest stored value, and the one that stands for the upper end of the range.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    stored: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Summary:
    """All of it.

    Attributes:
        network: Name.
        part, dpu, fingerprint: What it is compiled for.
        inputs, outputs: Ends of the network.
        rounding: Of inputs: a `RoundMode`.
        preprocessing: None where the data say nothing.
        class_names: In the order of the scores.
        notes: What to mind.
    """

    network: str
    part: str
    dpu: str
    fingerprint: str
    inputs: tuple[End, ...]
    outputs: tuple[End, ...]
    rounding: RoundMode
    preprocessing: Preprocessing | None = None
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def as_json(self) -> str:
        """Return the summary for programs."""
        return json.dumps(asdict(self), indent=2) + "\n"

    def as_text(self) -> str:
        """Return the summary for people."""
        lines = [f"Network      {self.network}",
                 f"Device       {self.part}: {self.dpu or 'DPU'}, {self.fingerprint}"]  # fmt: skip
        for end in self.inputs:
            lines += [
                f"Input        {end.name}: {end.bits} bits, {_sizes(end)} ({end.layout})",
                f"             code = round({_number(end.scaling)} * value){_zero(end)}, clamped"
                + _position(end),
                f"             between two codes: {_TIES[self.rounding]} ({self.rounding})",
            ]
        lines += _preprocessing_lines(self.preprocessing)
        for end in self.outputs:
            lines += [
                f"Output       {end.name}: {end.bits} bits, {_sizes(end)} ({end.layout})",
                f"             value = {_number(end.scaling)} * {_code(end)}{_position(end)}",
            ]
        if self.class_names:
            lines.append(f"Classes      {', '.join(self.class_names)}")
        lines += [f"Mind         {note}" for note in self.notes]
        return "\n".join(lines) + "\n"


def summary_of(
    graph: Graph, formats: NetworkFormats, part: str, arch: Arch, *,
    rounding: RoundMode, xmodel_names: Sequence[str] = (), scaling: Scaling | None = None,
    class_names: Sequence[str] = (), notes: Sequence[str] = (),
) -> Summary:  # fmt: skip
    """Return the summary of a quantized network.

    Args:
        graph: Prepared.
        formats: Of all tensors.
        part: Board or DPU, as in the recipe.
        arch: What it is compiled for.
        rounding: Of inputs.
        xmodel_names: Of inputs, then outputs, in the xmodel; empty where there is none.
        scaling: From stored values to inputs.
        class_names: In order.
        notes: What to mind.
    """
    names = dict(zip((*graph.inputs, *graph.outputs), xmodel_names, strict=False))
    inputs = tuple(_end(graph, formats, n, names.get(n, ""), up=True) for n in graph.inputs)
    outputs = tuple(_end(graph, formats, n, names.get(n, ""), up=False) for n in graph.outputs)
    shape = graph.shapes[graph.inputs[0]]
    found = preprocessing_of(scaling, shape) if scaling is not None else None
    return Summary(graph.name, part, arch.name, arch.hexadecimal, inputs, outputs, rounding,
                   found,
                   tuple(class_names), tuple(notes))  # fmt: skip


def _end(graph: Graph, formats: NetworkFormats, name: str, xmodel: str, *, up: bool) -> End:
    owner = carriers(graph).get(name, name)
    form = formats.outputs.get(owner)
    shape, layout = _board_layout(graph.shapes[name])
    if isinstance(form, FloatScale):
        scale = form.scale[0]
        return End(name, xmodel, shape, layout, form.bits, None, 1 / scale if up else scale,
                   form.zero_point[0])  # fmt: skip
    if isinstance(form, FixPosition):
        sign = 1 if up else -1
        return End(name, xmodel, shape, layout, form.bits, form.position,
                   2.0 ** (sign * form.position))  # fmt: skip
    return End(name, xmodel, shape, layout, 32, None, 1.0)


def _board_layout(shape: Shape) -> tuple[Shape, str]:
    if len(shape) != 3:
        return (1, *shape), "batch first"
    return (1, *shape[1:], shape[0]), "batch, height, width, channels"


def preprocessing_of(scaling: Scaling, shape: Shape) -> Preprocessing:
    """Return mean and scale in stored values: ``y = (x - mean) * scale``."""
    channels = shape[0] if shape else 1
    slope = (scaling.high - scaling.low) / (scaling.full - scaling.lowest)
    mean = np.broadcast_to(np.array(scaling.mean or (0.0,)), channels)
    std = np.broadcast_to(np.array(scaling.std or (1.0,)), channels)
    stored_mean = scaling.lowest + (mean - scaling.low) / slope
    return Preprocessing(tuple(stored_mean.tolist()), tuple((slope / std).tolist()),
                         (scaling.lowest, scaling.full))  # fmt: skip


def _preprocessing_lines(found: Preprocessing | None) -> list[str]:
    if found is None:
        return ["Preprocess   as in training; the data do not say how stored values are scaled"]
    mean, scale = (", ".join(map(_number, numbers)) for numbers in (found.mean, found.scale))
    low, high = map(_number, found.stored)
    return [f"Preprocess   value = (stored - mean) * scale; stored values from {low} to {high}",
            f"             mean {mean}", f"             scale {scale}"]  # fmt: skip


def _sizes(end: End) -> str:
    return " x ".join(map(str, end.shape))


def _number(value: float) -> str:
    return f"{value:.9g}"


def _zero(end: End) -> str:
    return f" + {end.zero_point}" if end.zero_point else ""


def _code(end: End) -> str:
    return f"(code - {end.zero_point})" if end.zero_point else "code"


def _position(end: End) -> str:
    return f" (fix position {end.fix_position})" if end.fix_position is not None else ""

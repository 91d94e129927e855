"""The inspection as text, in the order of AMD's ``inspect_<target>.txt``, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nibblefit_vitis.devices.dpu import Allowed, Dpu, Window
from nibblefit_vitis.devices.fingerprint import explained
from nibblefit_vitis.inspection.inspection import Inspection
from nibblefit_vitis.inspection.layer import Shape, times
from nibblefit_vitis.inspection.placing import Placement, Where

_LINE = "=" * 100
_LEGEND = (
    ("layer", "name in your network"),
    ("operator", "as the network's file calls it"),
    ("output", "shape in NHWC, batch 1"),
    ("device", "DPU, CPU or user"),
    ("subgraph", "number of the piece that the compiler is expected to make"),
    ("runs as", "engine of the DPU, or the layer that it joins"),
    ("constraint", "rule that keeps it from the DPU, with the values found and allowed"),
    ("rewrite", "what would bring it to the DPU"),
)


def file_name(inspection: Inspection, suffix: str) -> str:
    """Return the name of a file about an inspection."""
    return f"inspect_{inspection.dpu.name}.{suffix}"


def text(inspection: Inspection) -> str:
    """Return legend, target, summary, subgraphs and every layer."""
    parts = (_legend(), _target(inspection.dpu), _summary(inspection), _pieces(inspection),
             _layers(inspection))  # fmt: skip
    return "\n".join(line for part in parts for line in part) + "\n"


def document(inspection: Inspection) -> dict[str, Any]:
    """Return everything that the text says, for JSON."""
    pieces = inspection.piece_of()
    return {
        "network": inspection.network.name,
        "target": dict(target_facts(inspection.dpu)),
        "outcome": inspection.headline,
        "notes": list(inspection.network.notes),
        "subgraphs": [{"number": one.number, "device": one.where, "layers": one.layers}
                      for one in inspection.subgraphs],
        "layers": [
            {
                "name": one.layer.name, "operator": one.layer.word, "inputs": one.layer.inputs,
                "outputs": one.layer.outputs, "output_nhwc": nhwc(one.layer.shape),
                "device": one.where, "subgraph": pieces.get(one.layer.name),
                "runs_as": one.what, "joins": one.host or None,
                "rule": one.refusal.rule if one.refusal else None,
                "reason": one.refusal.reason if one.refusal else None,
                "rewrite": one.refusal.remedy if one.refusal else None,
                "notes": one.notes, "facts": _facts(one),
            }
            for one in inspection.placements
        ],
    }  # fmt: skip


def nhwc(shape: Shape) -> list[int] | None:
    """Return a shape as the compiler states it: batch 1, channels last."""
    if shape is None:
        return None
    return [1, *shape[1:], shape[0]] if len(shape) > 1 else [1, *shape]


def target_facts(dpu: Dpu) -> Iterator[tuple[str, str]]:
    """Yield what is known about a DPU, as name and value."""
    yield "name", dpu.name
    yield "family", dpu.fingerprint.family
    yield "instruction set", str(dpu.fingerprint.isa)
    yield "fingerprint", str(dpu.fingerprint)
    yield "parallelism", (f"{dpu.pixels} pixels × {dpu.channels_in} × {dpu.channels_out} channels, "
                          f"{dpu.operations} operations per cycle")  # fmt: skip
    yield "convolution", _limits(dpu.convolution.window)
    if dpu.convolution.bank:
        bank = dpu.convolution.bank
        yield "weight buffer", f"{bank.number} banks × {bank.width} × {bank.depth} rows"
    yield "depthwise", _limits(dpu.depthwise.window) if dpu.depthwise else "none"
    yield "max pool", _of(dpu.pooling.largest if dpu.pooling else None)
    yield "average pool", _of(dpu.pooling.average if dpu.pooling else None)
    yield "element-wise", ", ".join(dpu.elementwise)
    yield "behind convolutions", ", ".join(dpu.convolution.after)
    yield "behind sums", ", ".join(dpu.elementwise_after)
    yield "most channels", str(dpu.most_channels)
    if dpu.images > 1:
        yield "images at once", str(dpu.images)
    if dpu.fingerprint.kind == 1 and dpu.fingerprint.isa == 1:
        code = explained(dpu.fingerprint.features)
        yield "feature code", ", ".join(f"{key} {value:#x}" if key == "rest" else f"{key} {value}"
                                        for key, value in code.items())  # fmt: skip
    yield "limits from", dpu.source
    if dpu.doubt:
        yield "mind", dpu.doubt


def _of(window: Window | None) -> str:
    return _limits(window) if window else "none"


def _limits(window: Window) -> str:
    pads = _pads(window.pad_begin, window.pad_end)
    return f"kernel {window.kernel.text}, stride {window.stride.text}{pads}"


def _pads(begin: Allowed | None, end: Allowed | None) -> str:
    return f", pads {begin.text} and {end.text}" if begin and end else ""


def _titled(title: str) -> list[str]:
    return ["", _LINE, title, _LINE]


def _legend() -> list[str]:
    width = max(len(name) for name, _ in _LEGEND)
    return ["Fields", *(f"  {name:<{width}}  {meaning}" for name, meaning in _LEGEND)]


def _target(dpu: Dpu) -> list[str]:
    facts = list(target_facts(dpu))
    width = max(len(name) for name, _ in facts)
    return [*_titled("Target"), *(f"{name:<{width}}  {value}" for name, value in facts)]


def _summary(inspection: Inspection) -> list[str]:
    lines = [*_titled("Summary"), inspection.headline, *inspection.network.notes]
    left = [one for one in inspection.on(Where.CPU) if one.refusal and not one.host]
    width = max((len(one.layer.name) for one in left), default=0)
    for one in left:
        assert one.refusal is not None  # those without were left out
        lines.append(f"{one.layer.name:<{width}}  {one.layer.word}: {one.refusal.reason}")
    return lines


def _pieces(inspection: Inspection) -> list[str]:
    lines = _titled("Predicted subgraphs")
    for one in inspection.subgraphs:
        first, last = (one.layers[0], one.layers[-1]) if one.layers else ("", "")
        ends = first if first == last else f"{first} … {last}"
        count = f"{len(one.layers)} layer{'s' * (len(one.layers) != 1)}"
        lines.append(f"{one.number:>3}  {one.where:<4}  {count:>10}  {ends}")
    return lines


def _layers(inspection: Inspection) -> list[str]:
    lines = _titled("Layers")
    pieces = inspection.piece_of()
    for one in inspection.placements:
        layer, shape = one.layer, nhwc(one.layer.shape)
        output = times(tuple(shape)) if shape else "?"
        rows = [
            ("layer", layer.name), ("operator", layer.word), ("inputs", ", ".join(layer.inputs)),
            ("outputs", ", ".join(layer.outputs)), ("output", output),
            *((key, str(value)) for key, value in _facts(one).items()),
            ("device", one.where), ("subgraph", str(pieces.get(layer.name, ""))),
            ("runs as", one.what),
            ("constraint", one.refusal.reason if one.refusal else ""),
            ("rewrite", one.refusal.remedy if one.refusal else ""),
            *(("note", note) for note in one.notes),
        ]  # fmt: skip
        lines += [f"{key + ':':<14}{value}" for key, value in rows if value]
        lines.append("-" * len(_LINE))
    return lines


def _facts(one: Placement) -> dict[str, Any]:
    """Return the attributes of a layer that were given."""
    return {key: list(value) if isinstance(value, tuple) else value
            for key, value in one.layer.facts.items() if value is not None}  # fmt: skip

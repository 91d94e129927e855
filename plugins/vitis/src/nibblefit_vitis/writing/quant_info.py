"""``quant_info.json``: formats under the original's names, written and read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nibblefit.errors import InputError, listed
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit_vitis.formats import FixPosition, FloatScale, NetworkFormats, TensorFormat
from nibblefit_vitis.writing.naming import OriginalNames

_NUMBERED = re.compile(r"nndct_(?P<word>\w+)_(?P<number>\d+)")


@dataclass(frozen=True, slots=True)
class QuantInfo:
    """What the file says beside formats.

    Attributes:
        formats: By names of our graph.
        fast_finetuned, bias_corrected: Whether parameters were changed after training.
        version: Of the tool that wrote it.
        graph_md5: Of that tool's graph; comparable only within the same tool.
        notes: What was read with a difference.
    """

    formats: NetworkFormats
    fast_finetuned: bool = False
    bias_corrected: bool = False
    version: str = ""
    graph_md5: str = ""
    notes: tuple[str, ...] = field(default=())


def quant_info_text(
    graph: Graph, formats: NetworkFormats, *, fast_finetuned: bool, bias_corrected: bool,
    version: str, graph_md5: str, prefix: str = "", as_scales: bool = False,
) -> str:  # fmt: skip
    """Return the file's text in the original's layout, entries in order of execution.

    With `as_scales` powers of two are written as scales too, as for CPU and GPU.
    """
    names = OriginalNames(graph, prefix)
    tensors = {name: names.tensors[name] for name in names.tensors if name in formats.outputs}
    layers = {name: names.layers[name] for name in names.layers if name in formats.inputs}
    params = {name: names.parameters[name] for name in names.parameters if name in formats.params}
    blocks = [
        _block("param", _entries(params, formats.params, as_scales=as_scales)),
        _block("output", _entries(tensors, formats.outputs, as_scales=as_scales)),
        _block("input", _entries(layers, formats.inputs, as_scales=as_scales)),
    ]
    scalars = {
        "fast_finetuned": fast_finetuned,
        "bias_corrected": bias_corrected,
        "version": version,
        "graph_md5": graph_md5,
    }
    lines = [f"  {json.dumps(key)}:{json.dumps(value)}" for key, value in scalars.items()]
    return "{\n" + ",\n".join([*blocks, *lines]) + "\n}"


def _entries(names: Mapping[str, str],
             formats: Mapping[str, TensorFormat | None], *,
             as_scales: bool) -> dict[str, list[Any]]:  # fmt: skip
    """Return the entries by the original's name; a node with several outputs has one list."""
    found: dict[str, list[Any]] = {}
    for name, original in names.items():
        form = formats[name]
        if form is not None:
            found.setdefault(original, []).append(_entry(form, as_scales=as_scales))
    return found


def _entry(form: TensorFormat, *, as_scales: bool) -> list[Any]:
    if isinstance(form, FixPosition) and as_scales:
        form = scale_of(form)
    if isinstance(form, FixPosition):
        return [form.bits, list(form.positions) if form.positions else form.position]
    if form.axis is not None:
        return [form.bits, list(form.scale), list(form.zero_point), list(form.float_max)]
    return [form.bits, form.scale[0], form.zero_point[0], form.float_max[0]]


def scale_of(form: FixPosition) -> FloatScale:
    """Return a power of two as a scale; its range ends at the largest code."""
    highest = (1 << form.bits - int(not form.unsigned)) - 1
    scales = tuple(2.0**-position for position in form.positions or (form.position,))
    largest = tuple(scale * highest for scale in scales)
    return FloatScale(form.bits, scales, (0,) * len(scales), largest, form.axis, form.unsigned)


def _block(key: str, entries: Mapping[str, list[Any]]) -> str:
    lines = [f"    {json.dumps(name)}:{json.dumps(value, separators=(',', ':'))}"
             for name, value in entries.items()]  # fmt: skip
    return f"  {json.dumps(key)}:\n  {{\n" + ",\n".join(lines) + "\n  }"


def read_quant_info(text: str, graph: Graph, file: str = "quant_info.json") -> QuantInfo:
    """Return the formats of a file, by the original or ours, for a prepared graph of ours.

    Layers are matched by their number in topological order, parameters by their path; the name
    in front of ``::`` may differ.

    Args:
        text: Content of the file.
        graph: Prepared: batch norms folded, dropout removed.
        file: Named in errors.

    Raises:
        InputError: The file is damaged, or was made for another network.
    """
    body = _parsed(text, file)
    names, notes = OriginalNames(graph), list[str]()
    params = _params(body, names, file)
    outputs = _numbered(body["output"], names, notes, file)
    inputs = _numbered(body["input"], names, notes, file)
    by_layer = {node.output: node.name for node in graph.nodes}
    return QuantInfo(
        NetworkFormats(
            frozen_mapping(params), frozen_mapping(outputs),
            frozen_mapping({by_layer[name]: form for name, form in inputs.items()}),
        ),
        bool(body.get("fast_finetuned", False)), bool(body.get("bias_corrected", False)),
        str(body.get("version", "")), str(body.get("graph_md5", "")), tuple(notes),
    )  # fmt: skip


def _parsed(text: str, file: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except ValueError as problem:
        raise InputError(f"{file} is no JSON: {problem}",
                         hint="give the quant_info.json of a calibration") from problem  # fmt: skip
    if not isinstance(body, dict) or not all(
        isinstance(body.get(key), dict) for key in ("param", "output", "input")
    ):
        raise InputError(f"{file} has no blocks param, output and input",
                         hint="give the quant_info.json of a calibration")  # fmt: skip
    return body


def _params(body: Mapping[str, Any], names: OriginalNames,
            file: str) -> dict[str, TensorFormat | None]:  # fmt: skip
    ours = {key.partition("::")[2]: name for name, key in names.parameters.items()}
    paths = {key.rpartition("::")[2]: key for key in body["param"]}
    _refuse_strangers("parameters", set(paths) - set(ours), ours, file)
    return {
        ours[path]: _format(body["param"][key], key, file, axis=0) for path, key in paths.items()
    }


def _numbered(
    block: Mapping[str, Any], names: OriginalNames, notes: list[str], file: str
) -> dict[str, TensorFormat | None]:
    """Return the formats of a block, by tensor."""
    graph = names.graph
    places = [(name, names.tensors[name]) for name in graph.inputs]
    places += [(node.output, names.tensors[node.output]) for node in graph.nodes]
    found: dict[str, TensorFormat | None] = {}
    strangers = set()
    for key, value in block.items():
        match = _NUMBERED.search(key)
        number = int(match["number"]) if match else len(places)
        if number >= len(places):
            strangers.add(key)
            continue
        tensor, ours = places[number]
        if ours.rpartition("::")[2] != key.rpartition("::")[2]:
            notes.append(f"{key} is taken for '{tensor}', which would be called {ours}")
        found[tensor] = _format(value, key, file)
    _refuse_strangers("layers", strangers, [name for _, name in places], file)
    return found


def _refuse_strangers(what: str, strangers: Iterable[str], known: Iterable[str],
                      file: str) -> None:  # fmt: skip
    if names := sorted(strangers):
        raise InputError(
            f"{file} names {what} that the network does not have: {listed(names)}",
            hint=f"it was made for another network; this one has {listed(sorted(known))}",
        )


def _format(value: Any, key: str, file: str, axis: int | None = None) -> TensorFormat | None:
    """Return the first format of an entry; None where the tensor is not quantized."""
    entry = value[0] if isinstance(value, list) and value and isinstance(value[0], list) else value
    if entry is None or entry == [] or (isinstance(entry, list) and entry[-1] is None):
        return None
    try:
        return _fix(entry, axis) if len(entry) == 2 else _scale(entry, axis)
    except (TypeError, ValueError, KeyError, IndexError) as problem:
        raise InputError(
            f"{file}: {key} is {json.dumps(value)[:80]}; expected [bits, fix position] or "
            "[bits, scale, zero point, maximum]", hint="calibrate again, or correct the entry",
        ) from problem  # fmt: skip


def _fix(entry: list[Any], axis: int | None) -> FixPosition:
    bits, position = entry
    if isinstance(position, list):
        return FixPosition(_bits(bits), _whole(min(position)), tuple(map(_whole, position)), axis)
    return FixPosition(_bits(bits), _whole(position))


def _scale(entry: list[Any], axis: int | None) -> FloatScale:
    bits, *rest = entry
    scale, zero, largest = (part if isinstance(part, list) else [part] for part in rest)
    scales = tuple(float(number) for number in scale)
    if not scales or not all(0.0 < number < float("inf") for number in scales):
        raise ValueError("a scale is a number above 0")
    zeros = tuple(_whole(number) for number in zero)
    per_channel = axis if isinstance(rest[0], list) else None
    return FloatScale(_bits(bits), scales, zeros, tuple(float(n) for n in largest), per_channel,
                      any(zeros))  # fmt: skip


def _bits(value: Any) -> int:
    if not 1 <= _whole(value) <= 32:
        raise ValueError("a width is 1 to 32 bits")
    return _whole(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError(f"{value!r} is no integer")
    return int(value)

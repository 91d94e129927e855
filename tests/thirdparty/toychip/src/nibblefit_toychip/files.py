"""The toy chip's files: a program (JSON) and a weight memory (little-endian int32)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from nibblefit.errors import InputError
from nibblefit.fixed.formats import Accumulator, Format, IntArray, Rounding, Scale
from nibblefit.fixed.steps import Clamp, Divide, ShiftLeft, ShiftRight, Step, Wrap
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode, QuantizedTensor
from nibblefit.ir.store import digest
from nibblefit.results import Artifact, ArtifactFile

PROGRAM, MEMORY = "program.json", "weights.bin"


def _step(step: Step) -> list[Any]:
    match step:
        case ShiftLeft(bits=bits):
            return ["left", bits]
        case ShiftRight(bits=bits, rounding=rounding):
            return ["right", bits, rounding.value]
        case Divide(divisor=divisor, rounding=rounding):
            return ["divide", divisor, rounding.value]
        case Clamp(lo=lo, hi=hi):
            return ["clamp", lo, hi]
        case Wrap(bits=bits):
            return ["wrap", bits]
    raise TypeError(f"the toy chip cannot do {type(step).__name__}")


def write_files(graph: QuantizedGraph, folder: Path, target: str) -> Artifact:
    """Write both files into `folder` and describe them."""
    stored = [name for name in graph.tensors if name in graph.constants]
    memory = b"".join(graph.constants[name].astype("<i4").tobytes() for name in stored)
    program = {
        "name": graph.name,
        "inputs": graph.inputs,
        "outputs": graph.outputs,
        "tensors": [
            [t.name, t.shape, t.format.bits, t.format.scale.frac, t.name in graph.constants]
            for t in graph.tensors.values()
        ],
        "layers": [
            {
                "name": n.name, "op": n.op.value, "inputs": n.inputs, "outputs": n.outputs,
                "attributes": dict(n.attributes), "wide": n.accumulator is not None,
                "align": [[_step(s) for s in steps] for steps in n.input_steps],
                "steps": [_step(s) for s in n.steps],
            }
            for n in graph.nodes
        ],
    }  # fmt: skip
    files = []
    for role, name, content in (
        ("program", PROGRAM, json.dumps(program, sort_keys=True, indent=1).encode()),
        ("weights", MEMORY, memory),
    ):
        (folder / name).write_bytes(content)
        files.append(ArtifactFile(role, PurePosixPath(name), hashlib.sha256(content).hexdigest()))
    return Artifact(target, "", digest(graph), tuple(files))


def _parse(words: list[Any]) -> Step:
    match words:
        case ["left", int(bits)]:
            return ShiftLeft(bits)
        case ["right", int(bits), str(rounding)]:
            return ShiftRight(bits, Rounding(rounding))
        case ["divide", int(divisor), str(rounding)]:
            return Divide(divisor, Rounding(rounding))
        case ["clamp", lo, hi]:
            return Clamp(lo, hi)
        case ["wrap", int(bits)]:
            return Wrap(bits)
    raise InputError(f"{PROGRAM}: unknown step {words}")


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def read_files(folder: Path, target: str) -> QuantizedGraph:
    """Read both files back into a graph."""
    program = json.loads((folder / PROGRAM).read_text())
    memory = np.fromfile(folder / MEMORY, dtype="<i4").astype(np.int64)
    tensors: dict[str, QuantizedTensor] = {}
    constants: dict[str, IntArray] = {}
    sizes = {t[0]: int(np.prod(t[1])) for t in program["tensors"] if t[4]}
    position = 0
    for name, shape, bits, frac, is_constant in program["tensors"]:
        fmt = Format(bits, True, Scale.power_of_two(*frac))
        tensors[name] = QuantizedTensor(name, tuple(shape), fmt)
        if is_constant:
            values = memory[position : position + sizes[name]].reshape(shape)
            position += sizes[name]
            values.flags.writeable = False
            constants[name] = values
    nodes = tuple(
        QuantizedNode(
            layer["name"], Op(layer["op"]), tuple(layer["inputs"]), tuple(layer["outputs"]),
            frozen_mapping({k: _tuples(v) for k, v in layer["attributes"].items()}),
            tuple(tuple(map(_parse, steps)) for steps in layer["align"]),
            tuple(map(_parse, layer["steps"])),
            Accumulator(32) if layer["wide"] else None, layer=layer["name"],
        )
        for layer in program["layers"]
    )  # fmt: skip
    return QuantizedGraph(
        program["name"], target, tuple(program["inputs"]), tuple(program["outputs"]), nodes,
        frozen_mapping(tensors), frozen_mapping(constants),
    )  # fmt: skip

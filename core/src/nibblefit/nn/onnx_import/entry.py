"""`import_onnx`: from a file to the canonical graph."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto

from nibblefit.errors import InputError, UnsupportedError
from nibblefit.ir.graph import Graph, Shape
from nibblefit.nn.integers import Word
from nibblefit.nn.onnx_import.importer import BATCH, MALFORMED, Importer
from nibblefit.nn.onnx_import.reading import read_model
from nibblefit.nn.problems import unsupported
from nibblefit.nn.rewrite.canonical import canonical

_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16})


def import_onnx(path: Path | str, *, input_shape: Shape | None = None) -> Graph:
    """Return the canonical graph of a float ONNX file.

    Args:
        path: The file; opset 11 to the newest that the installed onnx knows.
        input_shape: Shape of the (only) input without batch axis, for files that leave it open.

    Raises:
        InputError: The file is missing, damaged or contradicts itself.
        UnsupportedError: It holds operators that cannot be represented; lists all of them.
    """
    path = Path(path)
    model, opset = read_model(path)
    inputs = _inputs(model, path, input_shape)
    batches = {batch for batch, _ in inputs.values() if batch}
    if len(batches) > 1:
        raise UnsupportedError(
            f"the inputs of {path} have batch sizes {sorted(batches)}; expected one",
            hint="export the network with a symbolic batch axis",
        )
    try:
        importer = Importer(model, opset, batches.pop() if batches else BATCH, path.stem)
        for name, (_, shape) in inputs.items():
            importer.add_input(name, shape)
        importer.walk(model.graph.node)
    except MALFORMED as problem:
        raise InputError(
            f"{path} contradicts itself: {problem}", hint="export the network again"
        ) from problem
    if importer.problems:
        raise unsupported(str(path), importer.problems)
    outputs = [_output(importer, value.name, path) for value in model.graph.output]
    graph = importer.builder.finish(outputs)
    return graph if importer.is_own else canonical(graph)


def _inputs(
    model: onnx.ModelProto, path: Path, input_shape: Shape | None
) -> dict[str, tuple[int, Shape]]:
    """Return batch size (0: symbolic) and shape of every real input."""
    weights = {tensor.name for tensor in model.graph.initializer}
    values = [value for value in model.graph.input if value.name not in weights]
    if not values:
        raise InputError(f"the network in {path} has no input", hint="export it again")
    found = {}
    for value in values:
        kind = value.type.tensor_type
        if kind.elem_type not in _FLOATS:
            raise UnsupportedError(
                f"input '{value.name}' of {path} is not a float tensor",
                hint="export the network from its first float tensor on",
            )
        sizes = [dim.dim_value if dim.dim_value > 0 else 0 for dim in kind.shape.dim]
        given = input_shape if len(values) == 1 else None
        found[value.name] = _resolved(sizes, given, f"input '{value.name}' of {path}")
    return found


def _resolved(sizes: list[int], given: Shape | None, where: str) -> tuple[int, Shape]:
    if len(sizes) < 2:
        raise UnsupportedError(
            f"{where} has {len(sizes)} axes; expected a batch axis and at least one more",
            hint="export the network with a batch axis in front",
        )
    shape = tuple(sizes[1:])
    if given is not None:
        fits = len(given) == len(shape) and all(s in {0, g} for s, g in zip(shape, given))
        if not fits:
            raise InputError(
                f"{where} has shape {shape} per sample; model.input_shape is {tuple(given)}",
                hint="make model.input_shape agree with the file, or leave it out",
            )
        shape = tuple(given)
    if 0 in shape:
        raise InputError(
            f"{where} leaves axis {shape.index(0) + 1} open",
            hint="give the sizes in model.input_shape (without batch axis)",
        )
    return sizes[0], shape


def _output(importer: Importer, name: str, path: Path) -> str:
    value = importer.values.get(name)
    if isinstance(value, str):
        return value
    if isinstance(value, Word):
        raise UnsupportedError(
            f"output '{name}' of {path} holds whole numbers",
            hint="multiply words by their step, so that the output is a real value",
        )
    raise UnsupportedError(
        f"output '{name}' of {path} does not depend on the input",
        hint="remove it from the outputs of the network",
    )

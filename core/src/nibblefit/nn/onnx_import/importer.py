"""Walk an ONNX graph: fold what is constant, hand every other node to its handler."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from nibblefit.errors import GraphError
from nibblefit.ir.graph import Shape
from nibblefit.nn.builder import GraphBuilder
from nibblefit.nn.integers import Word
from nibblefit.nn.names import FIXED
from nibblefit.nn.onnx_import.folding import fold
from nibblefit.nn.onnx_import.handlers import HANDLERS
from nibblefit.nn.onnx_import.refusal import reason_for
from nibblefit.nn.onnx_import.site import Array, Site
from nibblefit.nn.onnx_import.words import enter_words, is_of_words
from nibblefit.nn.problems import Problem, Refused

#: Stands for a symbolic batch size in computed shapes: a prime that no layer size contains.
BATCH = 1_000_003
#: Written into files by our own exporter, whose constant names say what is trained.
OWN_PRODUCER = "nibblefit"

#: What wrong types and sizes in a damaged file raise deep inside numpy and onnx.
MALFORMED = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError)


class Importer:
    """State of one import: values of every ONNX name, the growing graph, the problems."""

    def __init__(self, model: onnx.ModelProto, opset: int, batch: int, name: str) -> None:
        self.opset = opset
        self.batch = batch
        self.builder = GraphBuilder(name)
        self.is_own = model.producer_name == OWN_PRODUCER
        self.values: dict[str, str | Array | Word] = {}
        self.readers: dict[str, list[str]] = defaultdict(list)
        self.problems: list[Problem] = []
        self._unknown: set[str] = set()
        self._constants: dict[tuple[str, str, Shape], str] = {}
        initializers = model.graph.initializer
        for tensor in initializers:
            self.values[tensor.name] = numpy_helper.to_array(tensor)
        self._unused = {_cleaned(tensor.name) for tensor in initializers if tensor.name}
        self.builder.reserve(self._unused | {f"{name}{FIXED}" for name in self._unused})
        for node in model.graph.node:
            for value in node.input:
                self.readers[value].append(node.op_type)

    def add_input(self, name: str, shape: Shape) -> None:
        """Add an input tensor."""
        self.values[name] = self.builder.add_input(name, shape)

    def constant(
        self, source: str, value: npt.NDArray[np.float64], otherwise: str, form: str, fixed: bool
    ) -> str:  # fmt: skip
        """Return the constant for an ONNX name in one layout, entered once."""
        key = (source, form, value.shape)
        if key not in self._constants:
            cleaned = _cleaned(source)
            reserved = cleaned in self._unused
            wanted = cleaned if reserved else otherwise
            self._unused.discard(cleaned)
            self._constants[key] = self.builder.add_constant(
                wanted, value, fixed=fixed, reserved=reserved
            )
        return self._constants[key]

    def walk(self, nodes: Sequence[onnx.NodeProto]) -> None:
        """Enter all nodes; problems are collected, what depends on them is skipped."""
        for node in nodes:
            used = [name for name in node.input if name]
            try:
                if any(name in self._unknown for name in used):
                    self._refuse_unknown_operator(node)
                    self._unknown.update(node.output)
                elif is_of_words(node, self.values):
                    self.values[node.output[0]] = enter_words(
                        self.builder, node, self.values, _node_name(node)
                    )
                elif not any(isinstance(self.values.get(name), str) for name in used):
                    self._fold(node)
                elif node.op_type == "Shape":
                    self.values[node.output[0]] = self._shape_array(node)
                else:
                    self._enter(node)
            except (Refused, GraphError) as problem:
                reason = problem.reason if isinstance(problem, Refused) else problem.what
                hint = problem.hint if isinstance(problem, Refused) else ""
                self.problems.append(Problem(_label(node), node.op_type, reason, hint))
                self._unknown.update(node.output)
            except MALFORMED as problem:
                reason = f"its attributes or inputs contradict each other ({problem})"
                self.problems.append(Problem(_label(node), node.op_type, reason, ""))
                self._unknown.update(node.output)

    def _refuse_unknown_operator(self, node: onnx.NodeProto) -> None:
        if node.op_type not in HANDLERS and node.op_type != "Shape":
            raise Refused(*reason_for(node))

    def _fold(self, node: onnx.NodeProto) -> None:
        arrays = [self._array(name) if name else None for name in node.input]
        results = fold(node, arrays, self.opset)
        self.values.update(zip(node.output, results))

    def _array(self, name: str) -> Array:
        value = self.values.get(name)
        if not isinstance(value, np.ndarray):
            raise Refused(f"its input '{name}' does not exist")
        return value

    def _shape_array(self, node: onnx.NodeProto) -> Array:
        name = self.values[node.input[0]]
        shape = (self.batch, *self.builder.shape_of(str(name)))
        bounds = {a.name: a.i for a in node.attribute}
        return np.array(shape[bounds.get("start", 0) : bounds.get("end")], dtype=np.int64)

    def _enter(self, node: onnx.NodeProto) -> None:
        handler = HANDLERS.get(node.op_type)
        if handler is None or node.domain not in {"", "ai.onnx"}:
            raise Refused(*reason_for(node))
        made = handler(Site(self, node, _node_name(node)))
        names = (made,) if isinstance(made, str) else tuple(made)
        for output, name in zip(node.output, names):
            self.values[output] = name
        # Further outputs (a mask of Dropout) may exist but must not be used.
        self._unknown.update(node.output[len(names) :])


def _cleaned(name: str) -> str:
    """Return an ONNX name as a graph name: exporters separate modules by slashes."""
    return name.lstrip("/").replace("/", ".")


def _node_name(node: onnx.NodeProto) -> str:
    return _cleaned(node.name) or _cleaned(node.output[0]) or node.op_type.lower()


def _label(node: onnx.NodeProto) -> str:
    return node.name or (node.output[0] if node.output else "")

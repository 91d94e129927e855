"""`capture`: run the module once under the recorder, then prove the graph equal to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from nibblefit.errors import NibblefitError, UnsupportedError
from nibblefit.ir.graph import Graph, Shape
from nibblefit.nn.builder import GraphBuilder
from nibblefit.nn.capture.copies import working_copy
from nibblefit.nn.capture.kept import Kept
from nibblefit.nn.capture.outputs import flat_outputs, output_name
from nibblefit.nn.capture.paths import ModulePath
from nibblefit.nn.capture.proof import prove_equal
from nibblefit.nn.capture.recorder import Recorder
from nibblefit.nn.capture.running import in_float64, input_names, random_inputs, run, shapeless
from nibblefit.nn.capture.shapes_only import ShapesOnly
from nibblefit.nn.capture.smaller import smaller
from nibblefit.nn.capture.stand_ins import StandIns
from nibblefit.nn.capture.weights import Weights
from nibblefit.nn.capture.widths import Evaluate, FullWidth
from nibblefit.nn.problems import unsupported

#: What a shortcut may end in where it does not hold; the complete way says what is wrong, if so.
_SETBACKS = (NibblefitError, RuntimeError, ValueError, IndexError)
#: Batch sizes while recording and while proving: different, and neither of them 1.
_RECORDED, _PROVED = 3, 2


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to capture.

    Attributes:
        quick: Follow shapes only while recording, and do not copy what holds most values.
        smaller: Prove on smaller inputs, where they prove as much.
        stand_ins: Replace convolutions while values are computed.
    """

    quick: bool = False
    smaller: bool = False
    stand_ins: bool = True


def capture(
    module: nn.Module, input_shapes: Sequence[Shape] | Shape, *, name: str = "network"
) -> Graph:
    """Return the canonical graph of a plain torch module.

    The module is not changed: a copy of it runs once in evaluation mode while every torch function
    is recorded, and the graph is then compared with the copy in float64 on random inputs of
    another batch size. Shortcuts are taken first (see `_Way`); whatever stands against one, the
    next way decides anew, on a copy of its own: modules may keep what an earlier run computed.

    Args:
        module: Any module whose forward computes every sample on its own.
        input_shapes: Shape of each input without the batch axis, or of the only one.
        name: Name of the network, for messages and files.

    Raises:
        UnsupportedError: Something cannot be represented; lists everything found.
        InputError: The forward pass fails on inputs of these shapes.
    """
    shapes, plain = _listed(input_shapes), _unwrapped(module)
    with in_float64():
        graph = _quickly(plain, shapes, name)
        if graph is not None:
            return graph
        try:
            return _captured(plain, shapes, name, _Way())
        except UnsupportedError:
            # Only real convolutions can tell whether that is a difference.
            return _captured(plain, shapes, name, _Way(stand_ins=False))


def _quickly(module: nn.Module, shapes: Sequence[Shape], name: str) -> Graph | None:
    """Return the graph, or None where shortcuts do not tell."""
    for is_smaller in (True, False):
        try:
            return _captured(module, shapes, name, _Way(quick=True, smaller=is_smaller))
        except _NotSmallerError:
            continue
        except _SETBACKS:
            return None
    return None


class _NotSmallerError(NibblefitError):
    """Smaller inputs do not prove the graph; larger ones may."""


def _captured(module: nn.Module, shapes: Sequence[Shape], name: str, way: _Way) -> Graph:
    model, kept = working_copy(module, name, keep=way.quick)
    graph, weights = _recorded(model, shapes, name, kept, way)
    reduced = smaller(graph) if way.smaller else None
    if reduced is None:
        _prove(graph, weights, model, shapes, way)
    else:
        try:
            _prove(graph, weights, model, reduced, way)
        except _SETBACKS as problem:
            raise _NotSmallerError(str(problem)) from problem
    kept.check()
    return graph


def _prove(
    graph: Graph, weights: Weights, model: nn.Module, shapes: Sequence[Shape], way: _Way
) -> None:  # fmt: skip
    kept = weights.kept
    inputs = random_inputs(shapes, _PROVED, seed=2)

    def replaces(x: Tensor) -> bool:
        return way.stand_ins and len(x) == _PROVED

    with FullWidth(StandIns(replaces, kept).evaluate):
        expected = flat_outputs(run(model, inputs, graph.name, []), graph.name)
    kept.check()
    with StandIns(replaces, kept, weights.taps):
        prove_equal(graph, inputs, expected, weights.taken_over)


def _listed(shapes: Sequence[Shape] | Shape) -> tuple[Shape, ...]:
    if all(isinstance(entry, int) for entry in shapes):
        return (tuple(shapes),)  # type: ignore[arg-type]
    return tuple(tuple(shape) for shape in shapes)  # type: ignore[arg-type]


def _unwrapped(module: nn.Module) -> nn.Module:
    """Return the module inside torch.compile and data-parallel wrappers."""
    while True:
        inner = getattr(module, "_orig_mod", None)
        if inner is None and isinstance(
            module, nn.DataParallel | nn.parallel.DistributedDataParallel
        ):
            inner = module.module
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def _recorded(
    model: nn.Module, shapes: Sequence[Shape], name: str, kept: Kept, way: _Way
) -> tuple[Graph, Weights]:  # fmt: skip
    builder = GraphBuilder(name)
    weights = Weights(model, builder, kept)

    def replaces(x: Tensor) -> bool:
        return way.stand_ins and recorder.name_of(x) is not None

    evaluate: Evaluate = StandIns(replaces, kept).evaluate
    if way.quick:
        evaluate, inputs = ShapesOnly(kept, evaluate), shapeless(shapes, _RECORDED)
    else:
        inputs = random_inputs(shapes, _RECORDED, seed=1)
    recorder = Recorder(builder, weights, ModulePath(model), _RECORDED, evaluate)
    for x, wanted, shape in zip(inputs, input_names(model, len(shapes)), shapes):
        recorder.track(x, builder.add_input(wanted, shape))
    with recorder:
        result = run(model, inputs, name, recorder.problems)
    kept.check()
    if recorder.problems:
        raise unsupported(name, recorder.problems)
    outputs = [output_name(recorder, tensor, name) for tensor in flat_outputs(result, name)]
    return builder.finish(outputs), weights

"""`write_caffe`: the two files that TI's classic importers take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from google.protobuf import text_format

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.nn.problems import Problem, Refused, unsupported
from nibblefit_tidl.caffe.detection import Detection
from nibblefit_tidl.caffe.reading import LARGEST_BINARY
from nibblefit_tidl.caffe.schema import Message, new
from nibblefit_tidl.caffe.writing import movers, pointwise, windows
from nibblefit_tidl.caffe.writing.detection import add_detection
from nibblefit_tidl.caffe.writing.layer import Dialect, Emitter, Place, Writing

_EMITTERS: Mapping[Op, Emitter] = {**windows.EMITTERS, **pointwise.EMITTERS, **movers.EMITTERS}


def write_caffe(
    graph: Graph,
    prototxt: Path,
    caffemodel: Path,
    *,
    dialect: Dialect = "ti",
    detection: Detection | None = None,
) -> None:
    """Write a float graph as a deploy prototxt and its caffemodel.

    Read again by `nibblefit_tidl.caffe.entry.import_caffe`, the network computes the same numbers.
    Weights are float32 where that is exact, else double.

    Args:
        graph: The graph; batch norms may be folded or not.
        prototxt: Text file to write.
        caffemodel: Binary file to write.
        dialect: ``ti`` keeps scale and bias inside BatchNorm, ``bvlc`` in a Scale behind it.
        detection: The post-processing of an SSD detector, to be written behind the graph.

    Raises:
        UnsupportedError: Nodes that Caffe has no layer for; lists all of them.
        InputError: The detector's tensors are not in the graph, or the weights are larger than a
            caffemodel can be.
    """
    text, binary = caffe_messages(graph, dialect=dialect, detection=detection)
    raw = binary.SerializeToString(deterministic=True)
    if len(raw) > LARGEST_BINARY:
        raise InputError(f"network '{graph.name}' takes {len(raw):,} bytes; a caffemodel holds "
                         f"at most {LARGEST_BINARY:,}")  # fmt: skip
    prototxt.write_text(text_format.MessageToString(text), encoding="utf-8")
    caffemodel.write_bytes(raw)


def caffe_messages(
    graph: Graph, *, dialect: Dialect = "ti", detection: Detection | None = None
) -> tuple[Message, Message]:
    """Return the messages of the two files: the network without, and with, its weights."""
    uses = Counter(name for node in graph.nodes for name in dict.fromkeys(node.inputs))
    shared = frozenset(name for name in graph.constants if uses[name] > 1)
    writing = Writing(graph, dialect, {name: name for name in graph.inputs}, shared)
    problems = []
    for node in graph.nodes:
        writing.blobs.update((name, name) for name in node.outputs)
        try:
            _emit(Place(node, writing))
        except Refused as refused:
            problems.append(Problem(node.name, node.op.value, refused.reason, refused.hint))
    if problems:
        raise unsupported(graph.name, problems)
    if detection is not None:
        add_detection(writing, detection)
    else:
        _mark_outputs(writing)
    binary = _net(graph)
    binary.layer.extend(writing.layers)
    text = _net(graph)
    text.layer.extend(writing.layers)
    for layer in text.layer:
        del layer.blobs[:]
    return text, binary


def _emit(place: Place) -> None:
    if place.node.op not in _EMITTERS:
        raise Refused("Caffe has no layer for it", "use layers that Caffe knows, and retrain")
    _EMITTERS[place.node.op](place)


def _mark_outputs(writing: Writing) -> None:
    """Add a Split behind outputs that layers read: Caffe's outputs are the blobs nobody reads."""
    readers = writing.graph.consumers()
    for output in writing.graph.outputs:
        if readers[output]:
            layer = new("LayerParameter")
            layer.name, layer.type = f"{output}/output", "Split"
            layer.bottom.append(writing.blobs[output])
            layer.top.append(layer.name)
            writing.layers.append(layer)


def _net(graph: Graph) -> Message:
    net = new("NetParameter")
    net.name = graph.name
    for name in graph.inputs:
        net.input.append(name)
        net.input_shape.add().dim.extend((1, *graph.shapes[name]))
    return net

"""`import_caffe`: from prototxt and caffemodel to the canonical graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from nibblefit.errors import InputError, did_you_mean
from nibblefit.fixed.formats import FloatArray
from nibblefit.ir.graph import Graph, Shape
from nibblefit.ir.ops import Op
from nibblefit.nn.problems import unsupported
from nibblefit.nn.rewrite.live import live
from nibblefit.nn.rewrite.remove_identity import remove_identity
from nibblefit_tidl.caffe.blobs import array_of
from nibblefit_tidl.caffe.detection import Detection
from nibblefit_tidl.caffe.importer import Importer
from nibblefit_tidl.caffe.merging import merge_scale
from nibblefit_tidl.caffe.net import TEST, TRAIN, Net, net_of
from nibblefit_tidl.caffe.rates import rate_notes
from nibblefit_tidl.caffe.reading import read_binary, read_text
from nibblefit_tidl.caffe.schema import text_of
from nibblefit_tidl.caffe.site import Parameters

#: Layer types that keep blobs in a caffemodel.
_WITH_BLOBS = frozenset({"Convolution", "Deconvolution", "InnerProduct", "BatchNorm", "PReLU",
                         "Scale", "Bias"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class CaffeNetwork:
    """An imported network.

    Attributes:
        graph: With weights.
        blobs: Caffe's blob → the graph's tensor; in-place layers leave the last one.
        detection: The post-processing of an SSD detector, which is not in the graph.
        notes: What was left out or ignored, one sentence each.
    """

    graph: Graph
    blobs: Mapping[str, str]
    detection: Detection | None
    notes: tuple[str, ...]


def import_caffe(
    prototxt: Path,
    caffemodel: Path | None = None,
    *,
    input_shape: Shape = (),
    phase: Literal["test", "train"] = "test",
    missing: Literal["refuse", "fill"] = "refuse",
    end: Literal["file", "scores"] = "file",
    seed: int = 1,
) -> CaffeNetwork:
    """Return the network of a prototxt, deploy or train/val, in either generation's form.

    Args:
        prototxt: The text file.
        caffemodel: Its weights; without one they are drawn by the file's fillers.
        input_shape: Shape of the only input without batch axis, over what the file says.
        phase: Which layers count; Caffe's include and exclude rules.
        missing: What to do with layers that the caffemodel lacks: refuse, or draw them.
        end: ``scores`` leaves out softmax and argmax at the network's end.
        seed: Of the fillers.

    Raises:
        InputError: A file is missing, damaged, or the two do not belong together.
        UnsupportedError: Layers that cannot be represented; lists all of them.
    """
    where = str(prototxt)
    net = net_of(read_text(prototxt, "NetParameter"), where, TEST if phase == "test" else TRAIN)
    notes = rate_notes(net)
    trained: dict[str, tuple[FloatArray, ...]] = {}
    if caffemodel is not None:
        trained = _trained(caffemodel, net, notes)
        if missing == "refuse":
            _check_complete(net, trained, caffemodel, where)
    importer = Importer(net, Parameters(trained, seed, {}), tuple(input_shape), where)
    importer.run()
    if importer.problems:
        raise unsupported(where, importer.problems)
    graph = remove_identity(merge_scale(importer.finish()))
    if end == "scores":
        graph = _before_decision(graph)
    if importer.left_out:
        notes.append("left out of the graph: " + ", ".join(importer.left_out))
    tensors = set(graph.shapes)
    blobs = {blob: name for blob, name in importer.blobs.items() if name in tensors}
    return CaffeNetwork(graph, MappingProxyType(blobs), importer.detection, tuple(notes))


def _before_decision(graph: Graph) -> Graph:
    producers, outputs = graph.producers(), list(graph.outputs)
    for place, output in enumerate(outputs):
        while output in producers and producers[output].op in (Op.SOFTMAX, Op.ARGMAX):
            output = producers[output].inputs[0]  # noqa: PLW2901
        outputs[place] = output
    return live(replace(graph, outputs=tuple(outputs)))


def _trained(caffemodel: Path, net: Net, notes: list[str]) -> dict[str, tuple[FloatArray, ...]]:
    message, unknown = read_binary(caffemodel, "NetParameter")
    if unknown:
        notes.append(f"{caffemodel}: fields that are not understood: {', '.join(unknown)}")
    layers = [*message.layer, *message.layers]
    if not layers:
        raise InputError(
            f"{caffemodel} holds no layer", hint="give the .caffemodel that training wrote"
        )
    found = {
        text_of(layer.name): tuple(
            array_of(blob, f"blob {index + 1} of layer '{text_of(layer.name)}' in {caffemodel}")
            for index, blob in enumerate(layer.blobs)
        )
        for layer in layers
        if layer.blobs
    }
    unused = sorted(set(found) - {layer.name for layer in net.layers})
    if unused:
        notes.append(f"{caffemodel} has weights that no layer uses: {', '.join(unused)}")
    return found


def _check_complete(net: Net, trained: Mapping[str, object], caffemodel: Path, where: str) -> None:
    """Refuse layers without weights: Caffe and TI's importer would use random ones in silence."""
    lacking = [
        layer.name for layer in net.layers
        if layer.type in _WITH_BLOBS and len(layer.bottom) == 1 and layer.name not in trained
    ]  # fmt: skip
    if lacking:
        raise InputError(
            f"{caffemodel} has no weights for {len(lacking)} layers of {where}, first "
            f"'{lacking[0]}'; {did_you_mean(lacking[0], trained)}",
            hint="use the prototxt it was trained with, or set model.arguments = "
            "{missing = 'fill'} to draw them anew",
        )

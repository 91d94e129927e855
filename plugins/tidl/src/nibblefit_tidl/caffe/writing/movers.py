"""Layers that only move values."""

from __future__ import annotations

from collections.abc import Mapping

from nibblefit.ir.ops import Op
from nibblefit.nn.problems import Refused
from nibblefit_tidl.caffe.writing.layer import Emitter, Place, single


def _axis(place: Place) -> int:
    axis = int(place.node.attributes["axis"])
    return axis + len(place.shape) + 1 if axis < 0 else axis


def _concat(place: Place) -> None:
    if len(place.tensors()) < len(place.node.inputs):
        raise Refused("it joins a constant", "Caffe's Concat takes computed blobs only")
    place.layer("Concat").concat_param.axis = _axis(place)


def _split(place: Place) -> None:
    settings = place.layer("Slice").slice_param
    settings.axis = _axis(place)
    point = 0
    for size in place.node.attributes["sizes"][:-1]:
        point += size
        settings.slice_point.append(point)


def _slice(place: Place) -> None:
    """Write a Crop; the blob that tells its size is any earlier one of that size."""
    attributes, graph = place.node.attributes, place.writing.graph
    axes, rank = tuple(attributes["axes"]), len(place.shape) + 1
    if set(attributes.get("strides") or (1,)) != {1}:
        raise Refused("it takes every other entry", "use a pool or a convolution with stride")
    wanted = graph.shapes[place.node.output]
    first = min(axes)
    starts = dict(zip(axes, attributes["starts"]))
    offsets = [slice(starts.get(axis, 0), None).indices(place.shape[axis - 1])[0]
               for axis in range(first, rank)]  # fmt: skip
    like = next(
        (name for name in place.writing.blobs if name not in place.node.outputs
            and len(graph.shapes[name]) == rank - 1
         and graph.shapes[name][first - 1 :] == wanted[first - 1 :]), None,
    )  # fmt: skip
    if like is None:
        raise Refused("no earlier tensor has the size that it cuts to", "use another cut")
    blobs = place.writing.blobs
    layer = place.layer("Crop", bottoms=[blobs[place.node.inputs[0]], blobs[like]])
    layer.crop_param.axis = first
    layer.crop_param.offset.extend(offsets)


def _flatten(place: Place) -> None:
    start = int(place.node.attributes.get("start_axis", 1))
    layer = place.layer("Flatten")
    if start != 1:
        layer.flatten_param.axis = start


def _reshape(place: Place) -> None:
    place.layer("Reshape").reshape_param.shape.dim.extend((0, *place.node.attributes["shape"]))


def _permute(place: Place) -> None:
    place.layer("Permute").permute_param.order.extend(place.node.attributes["perm"])


def _dropout(place: Place) -> None:
    if place.node.attributes.get("whole_channels", False):
        raise Refused("it drops whole channels", "use plain dropout")
    ratio = single(float(place.node.attributes.get("p", 0.5)), "ratio")
    place.layer("Dropout").dropout_param.dropout_ratio = ratio


def _identity(place: Place) -> None:
    if place.node.output in place.writing.graph.outputs:
        place.layer("Split")
    else:
        place.alias()


EMITTERS: Mapping[Op, Emitter] = {
    Op.CONCAT: _concat, Op.SPLIT: _split, Op.SLICE: _slice, Op.FLATTEN: _flatten,
    Op.RESHAPE: _reshape, Op.TRANSPOSE: _permute, Op.DROPOUT: _dropout, Op.IDENTITY: _identity,
}  # fmt: skip

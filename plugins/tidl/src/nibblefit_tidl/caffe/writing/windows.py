"""Convolutions, linear layers and pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nibblefit.fixed.geometry import window
from nibblefit.ir.attributes import spatial
from nibblefit.ir.ops import Op
from nibblefit.nn.problems import Refused
from nibblefit_tidl.caffe.schema import Message, is_repeated
from nibblefit_tidl.caffe.writing.layer import Emitter, Place


def _planar(place: Place) -> None:
    if len(place.shape) != 3:
        raise Refused(f"its input has the shape {place.shape}",
                      "Caffe's layers take two spatial axes")  # fmt: skip


def _pads(place: Place) -> tuple[int, int]:
    pads = spatial(place.node.attributes, "pads", 4, 0)
    if pads[:2] != pads[2:]:
        raise Refused(f"its pads {pads} differ at begin and end",
                      "Caffe pads both ends alike; pad symmetrically")  # fmt: skip
    return pads[0], pads[1]


def _say(settings: Message, plain: str, stem: str, values: Sequence[int], default: int) -> None:
    """Set a window setting in its short form where both axes agree."""
    if values[0] != values[1]:
        setattr(settings, f"{stem}_h", values[0])
        setattr(settings, f"{stem}_w", values[1])
    elif values[0] != default:
        field = settings.DESCRIPTOR.fields_by_name[plain]
        if is_repeated(field):
            getattr(settings, plain).append(values[0])
        else:
            setattr(settings, plain, values[0])


def _convolution(place: Place) -> None:
    _planar(place)
    attributes, weights = place.node.attributes, place.values(1)
    transposed = place.node.op is Op.CONV_TRANSPOSE
    if transposed and any(attributes.get("output_padding") or ()):
        raise Refused("it has output_padding", "choose kernel and pads without it")
    groups = int(attributes.get("groups", 1))
    layer = place.layer("Deconvolution" if transposed else "Convolution")
    settings = layer.convolution_param
    settings.num_output = weights.shape[1] * groups if transposed else weights.shape[0]
    settings.bias_term = len(place.node.inputs) > 2
    settings.group = groups
    _say(settings, "kernel_size", "kernel", weights.shape[2:], 0)
    _say(settings, "stride", "stride", spatial(attributes, "strides", 2, 1), 1)
    _say(settings, "pad", "pad", _pads(place), 0)
    dilations = spatial(attributes, "dilations", 2, 1)
    if set(dilations) != {1}:
        settings.dilation.extend(dilations if dilations[0] != dilations[1] else dilations[:1])
    for index in range(1, len(place.node.inputs)):
        place.store(layer, index)


def _linear(place: Place) -> None:
    layer = place.layer("InnerProduct")
    settings = layer.inner_product_param
    settings.num_output = place.values(1).shape[0]
    settings.bias_term = len(place.node.inputs) > 2
    if len(place.shape) > 1:
        settings.axis = len(place.shape)
    for index in range(1, len(place.node.inputs)):
        place.store(layer, index)


def _pool(place: Place) -> None:
    _planar(place)
    attributes = place.node.attributes
    kernel, pads = tuple(attributes["kernel"]), _pads(place)
    strides = spatial(attributes, "strides", 2, 1)
    if set(spatial(attributes, "dilations", 2, 1)) != {1}:
        raise Refused("its window is dilated", "use a plain window")
    average = place.node.op is Op.AVG_POOL
    if average and any(pads) and not attributes["count_include_pad"]:
        raise Refused("it leaves padding out of the average",
                      "pool without padding, or count it")  # fmt: skip
    found = window(kernel, strides, (*pads, *pads), ceil_mode=True).output_sizes(place.shape[1:])
    wanted = place.writing.graph.shapes[place.node.output][1:]
    if found != wanted or any(p >= k for p, k in zip(pads, kernel)):
        raise Refused(
            f"Caffe rounds its size up to {found}; the graph has {wanted}",
            "use ceil_mode, or input sizes that divide evenly",
        )
    settings = place.layer("Pooling").pooling_param
    settings.pool = settings.AVE if average else settings.MAX
    _say(settings, "kernel_size", "kernel", kernel, 0)
    _say(settings, "stride", "stride", strides, 1)
    _say(settings, "pad", "pad", pads, 0)


def _global_pool(place: Place) -> None:
    _planar(place)
    settings = place.layer("Pooling").pooling_param
    settings.pool = settings.AVE if place.node.op is Op.GLOBAL_AVG_POOL else settings.MAX
    settings.global_pooling = True


EMITTERS: Mapping[Op, Emitter] = {
    Op.CONV: _convolution, Op.CONV_TRANSPOSE: _convolution, Op.LINEAR: _linear,
    Op.MAX_POOL: _pool, Op.AVG_POOL: _pool,
    Op.GLOBAL_AVG_POOL: _global_pool, Op.GLOBAL_MAX_POOL: _global_pool,
}  # fmt: skip

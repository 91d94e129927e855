"""Activations, normalization, element-wise layers and decisions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nibblefit.ir.ops import Op
from nibblefit.nn.names import FIXED
from nibblefit.nn.problems import Refused
from nibblefit_tidl.caffe.writing.layer import Emitter, Place, single


def _plain(kind: str) -> Emitter:
    def emit(place: Place) -> None:
        place.layer(kind)

    return emit


def _leaky_relu(place: Place) -> None:
    slope = single(float(place.node.attributes["slope"]), "slope")
    place.layer("ReLU").relu_param.negative_slope = slope


def _clip(place: Place) -> None:
    bounds = (place.node.attributes["lo"], place.node.attributes["hi"])
    if bounds == (0, None):
        place.layer("ReLU")
    elif bounds == (0, 6):
        place.layer("ReLU6")
    else:
        raise Refused(f"it clips to {bounds}", "TI's importers know ReLU and ReLU6; use one")


def _prelu(place: Place) -> None:
    layer = place.layer("PReLU")
    layer.prelu_param.channel_shared = place.values(1).size == 1 != place.shape[0]
    place.store(layer, 1)


def _softmax(place: Place) -> None:
    layer, axis = place.layer("Softmax"), _counted(place)
    if axis != 1:
        layer.softmax_param.axis = axis


def _counted(place: Place) -> int:
    axis = int(place.node.attributes["axis"])
    return axis + len(place.shape) + 1 if axis < 0 else axis


def _argmax(place: Place) -> None:
    if place.node.attributes.get("keepdims", False):
        place.layer("ArgMax").argmax_param.axis = _counted(place)
        return
    index = place.layer("ArgMax", suffix="/index")
    index.argmax_param.axis = _counted(place)
    if not place.writing.graph.shapes[place.node.output]:
        raise Refused("its output has no axis left", "keep the axis (keepdims)")
    shape = place.layer("Reshape", bottoms=[index.name]).reshape_param.shape
    shape.dim.extend((0, *place.writing.graph.shapes[place.node.output]))


def _batch_norm(place: Place) -> None:
    epsilon = single(float(place.node.attributes["epsilon"]), "epsilon")
    kept = round(1 - float(place.node.attributes.get("momentum", 0.1)), 6)
    if place.writing.dialect == "bvlc":
        _bvlc_batch_norm(place, epsilon, kept)
        return
    if epsilon < 1e-5:
        raise Refused(f"its epsilon {epsilon:g} is below 1e-05, the least of TI's Caffe",
                      "use an epsilon of 1e-05 or more, or fold batch norms first")  # fmt: skip
    layer = place.layer("BatchNorm")
    settings = layer.batch_norm_param
    settings.eps, settings.moving_average_fraction, settings.scale_bias = epsilon, kept, True
    for index, values in ((3, None), (4, None), (3, np.ones(1)), (1, None), (2, None)):
        place.store(layer, index, values)
    del layer.param[:]


def _bvlc_batch_norm(place: Place, epsilon: float, kept: float) -> None:
    norm = place.layer("BatchNorm", suffix="/bn")
    norm.batch_norm_param.eps = epsilon
    norm.batch_norm_param.moving_average_fraction = kept
    for index, values in ((3, None), (4, None), (3, np.ones(1))):
        place.store(norm, index, values)
    del norm.param[:]
    scale = place.layer("Scale", bottoms=[norm.name])
    scale.scale_param.bias_term = True
    place.store(scale, 1)
    place.store(scale, 2)


def _scale_offset(place: Place) -> None:
    if place.node.inputs[1].endswith(FIXED) and np.all(place.values(1) == 1):
        place.store(place.layer("Bias"), 2)
        return
    layer = place.layer("Scale")
    layer.scale_param.bias_term = True
    place.store(layer, 1)
    place.store(layer, 2)


def _elementwise(place: Place) -> None:
    tensors = place.tensors()
    if len(tensors) < len(place.node.inputs):
        _with_constant(place)
        return
    if len({place.shape_of(name) for name in tensors}) > 1:
        raise Refused("its inputs broadcast", "Caffe's Eltwise takes equal shapes")
    settings = place.layer("Eltwise").eltwise_param
    settings.operation = settings.PROD if place.node.op is Op.MUL else settings.SUM
    if place.node.op is Op.SUB:
        settings.coeff.extend([1.0] + [-1.0] * (len(tensors) - 1))


def _with_constant(place: Place) -> None:
    """Write a sum or product with a constant: a Scale or Bias per channel, or a Power."""
    op = place.node.op
    if len(place.node.inputs) != 2 or (
        op is Op.SUB and place.node.inputs[0] not in place.tensors()
    ):
        raise Refused("it combines more than one tensor and one constant", "split it in two")
    index = 1 if place.node.inputs[0] in place.tensors() else 0
    values, shape = place.values(index), place.shape_of(place.tensors()[0])
    values = -values if op is Op.SUB else values
    if values.size == 1:
        settings = place.layer("Power").power_param
        number = single(float(values.ravel()[0]), "constant")
        if op is Op.MUL:
            settings.scale = number
        else:
            settings.shift = number
        return
    if values.shape[-len(shape) :] != (shape[0], *(1,) * (len(shape) - 1)):
        raise Refused(f"its constant has the shape {values.shape}", "use one number per channel")
    layer = place.layer("Scale" if op is Op.MUL else "Bias")
    place.store(layer, index, values.reshape(shape[0]))


EMITTERS: Mapping[Op, Emitter] = {
    Op.RELU: _plain("ReLU"), Op.ABS: _plain("AbsVal"), Op.SIGMOID: _plain("Sigmoid"),
    Op.TANH: _plain("TanH"), Op.LEAKY_RELU: _leaky_relu, Op.CLIP: _clip, Op.PRELU: _prelu,
    Op.SOFTMAX: _softmax, Op.ARGMAX: _argmax, Op.BATCH_NORM: _batch_norm,
    Op.SCALE_OFFSET: _scale_offset, Op.ADD: _elementwise, Op.SUB: _elementwise,
    Op.MUL: _elementwise,
}  # fmt: skip

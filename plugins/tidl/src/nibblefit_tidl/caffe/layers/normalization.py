"""BatchNorm in both dialects, Scale and Bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nibblefit.errors import InputError
from nibblefit.fixed.formats import FloatArray
from nibblefit.ir.graph import Shape
from nibblefit.ir.ops import Op
from nibblefit.nn.problems import Refused
from nibblefit_tidl.caffe.schema import Message, new
from nibblefit_tidl.caffe.site import Handler, Site, axis_of

#: NVIDIA's and TI's forks never divide by less (batch_norm_layer.cpp, caffe-jacinto 0.17).
_LEAST_EPSILON = 1e-5


def _batch_norm(site: Site) -> Sequence[str]:
    """Import a BatchNorm layer.

    BVLC keeps sums of statistics and the count they are divided by; NVIDIA and TI keep the
    statistics themselves, a third blob that means nothing, and then scale and bias.
    """
    site.expect_inputs(1)
    settings, channels = site.layer.batch_norm_param, site.shape[0]
    scaled = settings.scale_bias or settings.HasField("scale_filler")
    scaled = scaled or settings.HasField("bias_filler")
    mean, variance = _statistics(site, channels, scaled=scaled)
    builder, name = site.builder, site.name
    if scaled:
        gamma, beta = _affine(site, channels)
    else:
        gamma = site.constant("weight", np.ones(channels))
        beta = site.constant("bias", np.zeros(channels))
    inputs = [
        site.x, gamma, beta,
        builder.add_constant(f"{name}.running_mean", mean),
        builder.add_constant(f"{name}.running_var", variance),
    ]  # fmt: skip
    epsilon = float(f"{settings.eps:.7g}")
    if scaled:
        epsilon = max(epsilon, _LEAST_EPSILON)
    momentum = float(f"{1 - settings.moving_average_fraction:.6g}")
    return (site.add(Op.BATCH_NORM, inputs, epsilon=epsilon, momentum=momentum),)


def _in_todays_order(blobs: Sequence[FloatArray]) -> Sequence[FloatArray]:
    """Return mean, variance, reserved, scale, bias, also from the first fork's other order.

    Until caffe-nv 0.15 it was scale, bias, mean, variance, reserved; the reserved blob of one
    number tells the two apart.
    """
    if len(blobs) == 5 and blobs[4].size == 1 and blobs[2].size != 1:
        scale, bias, mean, variance, reserved = blobs
        return mean, variance, reserved, scale, bias
    return blobs


def _statistics(site: Site, channels: int, *, scaled: bool) -> tuple[FloatArray, FloatArray]:
    if not site.trained:
        # Caffe starts from zeros and measures; a network used untrained needs some variance.
        return np.zeros(channels), np.ones(channels)
    blobs = _in_todays_order(site.trained)
    mean = _blob(site, blobs, 0, "mean", channels)
    variance = _blob(site, blobs, 1, "variance", channels)
    if not scaled and len(blobs) > 2:
        factor = float(blobs[2].ravel()[0])
        share = 0.0 if factor == 0 else 1 / factor
        mean, variance = mean * share, variance * share
    if (variance < 0).any():
        raise InputError(
            f"the variance of layer '{site.name}' is negative in {np.count_nonzero(variance < 0)} "
            "channels",
            hint="the caffemodel is damaged, or its BatchNorm layers are of another dialect",
        )
    return mean, variance


def _blob(site: Site, blobs: Sequence[FloatArray], index: int, what: str, count: int) -> FloatArray:
    if index >= len(blobs) or blobs[index].size != count:
        found = blobs[index].shape if index < len(blobs) else "no blob"
        raise InputError(
            f"the {what} of layer '{site.name}' is {found} in the caffemodel; expected {count} "
            "numbers",
            hint="use the prototxt that the caffemodel was trained with",
        )
    return blobs[index].reshape(count)


def _affine(site: Site, channels: int) -> tuple[str, str]:
    settings = site.layer.batch_norm_param
    if site.trained:
        blobs = _in_todays_order(site.trained)
        gamma = _blob(site, blobs, 3, "scale", channels)
        beta = _blob(site, blobs, 4, "bias", channels)
        builder, name = site.builder, site.name
        return (
            builder.add_constant(f"{name}.weight", gamma, fixed=site.is_frozen(3)),
            builder.add_constant(f"{name}.bias", beta, fixed=site.is_frozen(4)),
        )
    one = settings.scale_filler if settings.HasField("scale_filler") else _constant(1.0)
    return (
        site.parameter(3, "weight", (channels,), one),
        site.parameter(4, "bias", (channels,), settings.bias_filler),
    )


def _constant(value: float) -> Message:
    filler = new("FillerParameter")
    filler.value = value
    return filler


def _covered(site: Site, settings: Message) -> Shape:
    """Return the shape of a Scale's or Bias's parameter."""
    axis = axis_of(site, settings.axis)
    rest = site.shape[axis - 1 :]
    if settings.num_axes > len(rest) or settings.num_axes < -1:
        raise Refused(f"num_axes {settings.num_axes} reaches beyond its input {site.shape}")
    return rest if settings.num_axes == -1 else rest[: settings.num_axes]


def _scale(site: Site) -> Sequence[str]:
    settings = site.layer.scale_param
    if len(site.inputs) == 2:
        if settings.bias_term:
            raise Refused("it scales by a tensor and adds a bias", "use a Scale and a Bias layer")
        return (site.add(Op.MUL, [site.x, _aligned(site, settings)]),)
    shape = _covered(site, settings)
    filler = settings.filler if settings.HasField("filler") else _constant(1.0)
    scale = site.parameter(0, "weight", shape, filler)
    offset = site.parameter(1, "bias", shape, settings.bias_filler) if settings.bias_term else ""
    if settings.axis == 1 and len(shape) == 1:
        offset = offset or site.constant("bias", np.zeros(shape))
        return (site.add(Op.SCALE_OFFSET, [site.x, scale, offset]),)
    _spread(site, scale, shape, settings.axis)
    product = site.add(Op.MUL, [site.x, scale], suffix=".product" if offset else "")
    if offset:
        _spread(site, offset, shape, settings.axis)
        product = site.add(Op.ADD, [product, offset])
    return (product,)


def _bias(site: Site) -> Sequence[str]:
    settings = site.layer.bias_param
    if len(site.inputs) == 2:
        return (site.add(Op.ADD, [site.x, _aligned(site, settings)]),)
    shape = _covered(site, settings)
    offset = site.parameter(0, "bias", shape, settings.filler)
    if settings.axis == 1 and len(shape) == 1:
        one = site.constant("weight", np.ones(shape))
        return (site.add(Op.SCALE_OFFSET, [site.x, one, offset]),)
    _spread(site, offset, shape, settings.axis)
    return (site.add(Op.ADD, [site.x, offset]),)


def _spread(site: Site, constant: str, shape: Shape, axis: int) -> None:
    """Give a constant the axes that let it broadcast over the layer's input."""
    start = axis_of(site, axis) - 1
    behind = (1,) * (len(site.shape) - start - len(shape)) if shape else ()
    if len(shape) + len(behind) == len(shape):
        return
    values = site.builder.constants.pop(constant)
    site.builder.add_constant(constant, values.reshape(*shape, *behind), reserved=True)


def _aligned(site: Site, settings: Message) -> str:
    """Return the second bottom with the axes that let it broadcast over the first."""
    axis, other = axis_of(site, settings.axis), site.builder.shape_of(site.inputs[1])
    wanted = (*other, *(1,) * (len(site.shape) - axis + 1 - len(other)))
    if site.shape[axis - 1 : axis - 1 + len(other)] != other:
        raise Refused(f"its bottoms {site.shape} and {other} do not fit along axis {axis}")
    if wanted == other:
        return site.inputs[1]
    return site.add(Op.RESHAPE, site.inputs[1:2], suffix=".aligned", shape=wanted)


HANDLERS: Mapping[str, Handler] = {"BatchNorm": _batch_norm, "Scale": _scale, "Bias": _bias}

"""Convolutions, linear layers and per-channel factors as hardware layers."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from nibblefit.ir.attributes import spatial
from nibblefit.ir.graph import Node, Shape, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.shapes import infer_shapes
from nibblefit_maxim.embedding import (
    CopiedKernel,
    Embedding,
    diagonal,
    flattened,
    placed_kernel,
)
from nibblefit_maxim.fusing.assembly import Assembly
from nibblefit_maxim.fusing.copying import copied
from nibblefit_maxim.fusing.geometry import (
    KernelFit,
    UnfitError,
    check_groups,
    conv_operator,
    fit_kernel,
    fit_long_kernel,
    fit_transposed,
    times,
)
from nibblefit_maxim.fusing.value import Value
from nibblefit_maxim.fusing.windows import subsampling
from nibblefit_maxim.layers import HardwareLayer, Operator
from nibblefit_maxim.parts import PROCESSORS

#: A dilated 1-D kernel that spans more runs on the 2-D hardware, which then cannot pool.
_STRETCHED_TAPS = 9


def conv(site: Assembly, node: Node) -> Value:
    """Return a convolution; a stride above one is made by whoever reads it."""
    value, weights = site.read(node.inputs[0]), site.constant_shape(node, 1)
    if value.is_flat:
        raise UnfitError("it convolves flattened features", "flatten only before linear layers")
    operator = conv_operator(node, value.shape[0], weights, site.part)
    if len(weights) != len(value.shape) + 1:
        raise UnfitError(f"it convolves data of shape {value.shape}", "reshape the data first")
    axes = len(weights) - 2
    strides = spatial(node.attributes, "strides", axes, 1)
    (wanted,) = infer_shapes(Op.CONV, node.attributes, [value.shape, weights])
    (dense,) = infer_shapes(
        Op.CONV, {**node.attributes, "strides": (1,) * axes}, [value.shape, weights]
    )
    if operator is Operator.CONV1D and _is_trapped(site, node, value, weights):
        return _as_map(site, node, value, weights, dense, wanted)
    value, fit, embedding = _fitted(site, node, value, operator, weights)
    layer = _layer(node, value, operator, fit, embedding, dense)
    if max(strides) == 1:
        return site.put(layer, dense)
    # Convolve everywhere; the next layer reads every s-th position.
    layer = replace(layer, output=f"{node.name}.dense")
    site.put(layer, layer.output_shape)
    return Value((node.name,), layer.output_shape, wanted, pool=subsampling(strides))


def _fitted(
    site: Assembly, node: Node, value: Value, operator: Operator, weights: Shape
) -> tuple[Value, KernelFit, Embedding | CopiedKernel | None]:
    """Return what a convolution reads, how it runs, and where its weights lie."""
    kernel, has_bias = tuple(weights[2:]), len(node.inputs) > 2
    try:
        fit = fit_kernel(node, kernel, value.surplus)
    except UnfitError:
        long = fit_long_kernel(node, kernel, value.surplus)
        if long is None:
            raise
        value = _ready(site, value, operator, long, has_bias=False)
        return copied(site, node, value, operator, long, weights)
    _check_dilation(site, fit)
    value = _ready(site, value, operator, fit, has_bias=has_bias)
    return value, fit, placed_kernel(weights, fit.kernel, fit.begin, fit.step)


def _is_trapped(site: Assembly, node: Node, value: Value, weights: Shape) -> bool:
    """Return whether a 1-D convolution pads data of several passes where the part cannot."""
    if site.part.has_padded_multipass_conv1d or value.shape[0] <= PROCESSORS:
        return False
    kernel = tuple(weights[2:])
    try:
        return max(fit_kernel(node, kernel, value.surplus).pad) > 0
    except UnfitError:
        return True


def _as_map(  # noqa: PLR0917 - what a convolution is made of
    site: Assembly, node: Node, value: Value, weights: Shape, dense: Shape, wanted: Shape
) -> Value:
    """Return a 1-D convolution that runs as a 2-D one over a map of one column.

    Raises:
        UnfitError: The result would have more columns.
    """
    (before, behind) = spatial(node.attributes, "pads", 2, 0)
    (stride,), (gap,) = (spatial(node.attributes, key, 1, 1) for key in ("strides", "dilations"))
    attributes = {**node.attributes, "pads": (before, 0, behind, 0), "dilations": (gap, 1)}
    flat = replace(node, attributes=frozen_mapping(attributes))
    weights = (*weights, 1)
    if not (value.is_plain or (value.is_concatenation and value.pool is None)):
        value = site.flush(value)
    if any(name in site.graph.inputs for name in value.sources):
        value = site.flush(value)  # the compiler takes the input's shape from the sample
    column = replace(
        value, operand_shape=(*value.operand_shape, 1), shape=(*value.shape, 1)
    )  # fmt: skip
    try:
        column, fit, embedding = _fitted(site, flat, column, Operator.CONV2D, weights)
    except UnfitError as error:
        raise _trapped(site, value) from error
    if fit.surplus[1]:
        raise _trapped(site, value)
    layer = _layer(flat, column, Operator.CONV2D, fit, embedding, (*dense, 1))
    note = f"the {site.part.title} pads 1-D data of more than 64 channels as a map of one column"
    layer = replace(layer, output=f"{node.name}.dense", notes=(*layer.notes, note))
    site.layers[layer.name] = layer
    held = layer.output_shape[:2]
    pool = subsampling((stride,)) if stride > 1 else None
    return Value((layer.name,), held, wanted, pool=pool)


def _trapped(site: Assembly, value: Value) -> UnfitError:
    return UnfitError(
        f"the {site.part.title} cannot pad {value.shape[0]} channels of 1-D data for this kernel",
        "use at most 64 channels, no padding, or a kernel that keeps the length: 3 taps padded by "
        "1, or 5 padded by 2",
    )


def conv_transpose(site: Assembly, node: Node) -> Value:
    """Return a transposed convolution, 3×3 with stride 2 or what fits into one."""
    value, weights = site.read(node.inputs[0]), site.constant_shape(node, 1)
    if value.is_flat:
        raise UnfitError("it upsamples flattened features", "flatten only before linear layers")
    kernel = tuple(weights[2:])
    fit = fit_transposed(node, kernel)
    groups = int(node.attributes.get("groups", 1))
    check_groups(node, weights[0], weights[1] * groups, site.part)
    value = cropped(value)
    value = _ready(site, value, Operator.CONV_TRANSPOSE2D, fit, has_bias=len(node.inputs) > 2)
    (wanted,) = infer_shapes(Op.CONV_TRANSPOSE, node.attributes, [value.shape, weights])
    embedding = placed_kernel(weights, fit.kernel, fit.begin, fit.step)
    layer = _layer(node, value, Operator.CONV_TRANSPOSE2D, fit, embedding, wanted)
    return site.put(layer, wanted)


def linear(site: Assembly, node: Node) -> Value:
    """Return a linear layer, flattening in front of it included."""
    value, weights = site.read(node.inputs[0]), site.constant_shape(node, 1)
    if len(value.float_shape) > 1 or value.float_shape[0] != weights[1]:
        raise UnfitError(
            f"it multiplies the last axis of {value.float_shape}",
            "flatten in front of linear layers, or use a 1×1 convolution",
        )
    has_pixels = prod(value.operand_shape[1:]) > 1
    if value.pool or value.is_concatenation or (value.eltwise and has_pixels):
        value = site.flush(value)
    value = _separate(site, value, has_bias=len(node.inputs) > 2)
    embedding = flattened(weights[0], value.shape, value.held_shape)
    layer = HardwareLayer(
        name=node.name,
        operator=Operator.LINEAR,
        inputs=value.sources,
        input_shape=value.operand_shape,
        output_shape=(weights[0],),
        eltwise=value.eltwise,
        flatten=prod(value.operand_shape[1:]) > 1,
        weight=node.inputs[1],
        bias=node.inputs[2] if len(node.inputs) > 2 else "",
        sources=(*value.nodes, *value.flattening, node.name),
        output=node.output,
        embedding=embedding,
        notes=("zero weights skip positions beyond the float tensor",) if embedding else (),
    )
    return site.put(layer, layer.output_shape)


def scale_offset(site: Assembly, node: Node) -> Value:
    """Return a factor and an offset per channel (a batch norm that stands alone) as 1×1 weights."""
    value = site.read(node.inputs[0])
    if value.is_flat and prod(value.shape[1:]) > 1:
        raise UnfitError(
            "batch norm of flattened features does not follow a linear layer",
            "put it right behind a convolution or linear layer, in front of the rectifier",
        )
    shape, channels = value.shape, value.shape[0]
    axes = len(shape) - 1
    operator = (Operator.LINEAR, Operator.CONV1D, Operator.CONV2D)[axes]
    is_grouped = site.part.has_depthwise and axes == 2 and channels > 1
    ones, zeros = (1,) * axes, (0,) * axes
    fit = KernelFit(ones, zeros, ones, zeros, ones, value.surplus)
    value = _ready(site, value, operator, fit, has_bias=True)
    layer = HardwareLayer(
        name=node.name,
        operator=operator,
        inputs=value.sources,
        input_shape=value.operand_shape,
        output_shape=value.held_shape,
        pool=value.pool,
        eltwise=value.eltwise,
        pool_first=value.pool_first,
        kernel=ones,
        pad=zeros,
        dilation=ones,
        groups=channels if is_grouped else 1,
        weight=node.inputs[1],
        bias=node.inputs[2],
        sources=(*value.nodes, node.name),
        output=node.output,
        embedding=diagonal(channels, ones, is_grouped=is_grouped),
        notes=("one factor per channel runs as a 1×1 convolution of its own",),
    )
    made = site.put(layer, shape)
    return Value(made.sources, made.operand_shape, shape, is_flat=value.is_flat)


def cropped(value: Value) -> Value:
    """Return a value whose surplus reaches nobody.

    Raises:
        UnfitError: It has one; what reads it would take it for data.
    """
    if any(value.surplus):
        raise UnfitError(
            f"its input is longer on the hardware by {list(value.surplus)} positions",
            "pad the convolution before it, so that its output keeps its input's size",
        )
    return value


def _ready(
    site: Assembly, value: Value, operator: Operator, fit: KernelFit, *, has_bias: bool
) -> Value:
    """Return the value as an operator may read it; what may not stand in front is carried out."""
    stretched = operator is Operator.CONV1D and (
        (fit.kernel[0] - 1) * fit.dilation[0] >= _STRETCHED_TAPS
    )
    if (value.eltwise and operator in (Operator.CONV1D,)) or (stretched and value.pool):
        return site.flush(value)
    return _separate(site, value, has_bias=has_bias)


def _separate(site: Assembly, value: Value, *, has_bias: bool) -> Value:
    """Return the value with its combination carried out, where it may not meet the operator."""
    if value.eltwise is None:
        return value
    conflict = has_bias and not site.part.has_biased_eltwise
    return site.flush(value) if conflict or site.is_emulated(value) else value


def _layer(  # noqa: PLR0917 - what a convolution is made of
    node: Node, value: Value, operator: Operator, fit: KernelFit,
    embedding: Embedding | CopiedKernel | None, shape: Shape,
) -> HardwareLayer:  # fmt: skip
    """Return the layer of a convolution that makes a tensor of `shape`."""
    notes = []
    if isinstance(embedding, Embedding):
        kernel, own = times(embedding.stored[2:]), times(fit.kernel)
        notes = [f"kernel {kernel} runs as {own} with zeros around its taps"]
    is_copied = isinstance(embedding, CopiedKernel)
    sides = zip(shape[1:], fit.surplus, strict=True)
    return HardwareLayer(
        name=node.name,
        operator=operator,
        inputs=value.sources,
        input_shape=value.operand_shape,
        output_shape=(shape[0], *(size + extra for size, extra in sides)),
        pool=value.pool,
        eltwise=value.eltwise,
        pool_first=value.pool_first,
        kernel=fit.kernel,
        pad=fit.pad,
        dilation=fit.dilation,
        groups=1 if is_copied else int(node.attributes.get("groups", 1)),
        weight=node.inputs[1],
        bias=node.inputs[2] if len(node.inputs) > 2 else "",
        sources=(*value.nodes, *value.flattening, node.name),
        output=node.output,
        embedding=embedding,
        notes=tuple(notes),
    )


def _check_dilation(site: Assembly, fit: KernelFit) -> None:
    limit = site.part.max_conv1d_dilation
    if max(fit.dilation) > limit:
        raise UnfitError(
            f"dilation {max(fit.dilation)} exceeds {limit} on the {site.part.title}",
            f"dilate by at most {limit}",
        )

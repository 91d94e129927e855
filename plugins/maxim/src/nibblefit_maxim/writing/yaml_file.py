"""The network YAML, every key explicit.

The compiler fills missing keys with defaults that depend on other layers (a known trap); so each
key that means something for a layer is written, defaults included.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarint import HexInt

from nibblefit_maxim.layers import HardwareLayer, IntegerLayer, Operator, PoolKind
from nibblefit_maxim.lower import TRANSPOSE_OUTPUT_PADDING, TRANSPOSE_STRIDE
from nibblefit_maxim.memory.plan import LayerPlan, MemoryPlan

_MAP_DIGITS = 16
_OFFSET_DIGITS = 4


def network_yaml(
    items: Sequence[IntegerLayer],
    plan: MemoryPlan,
    names: Mapping[str, str],
    arch: str,
    dataset: str,
) -> str:
    """Return the text of the network YAML."""
    layers = CommentedSeq(
        _layer(index, item, placed, plan, names)
        for index, (item, placed) in enumerate(zip(items, plan.layers, strict=True))
    )
    for index, item in enumerate(items):
        layers.yaml_set_comment_before_after_key(
            index, before=f"{index}: {item.layer.describe()}", indent=2
        )
    root = CommentedMap({"arch": arch, "dataset": dataset, "layers": layers})
    root.yaml_set_start_comment(
        f"Network '{arch}' for the {plan.part.title}, written by nibblefit.\n"
        "Maps and offsets are planned; change them only together."
    )
    writer = YAML()
    writer.explicit_start = True
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.width = 100
    text = io.StringIO()
    writer.dump(root, text)
    return text.getvalue()


def _layer(
    index: int,
    item: IntegerLayer,
    placed: LayerPlan,
    plan: MemoryPlan,
    names: Mapping[str, str],
) -> CommentedMap:
    entry: dict[str, Any] = {"name": names[item.layer.name]}
    entry |= _memory(index, placed, plan)
    source = placed.sources[0] if placed.sources else index - 1
    entry |= _input_size(item.layer, plan.needs[source].layer if source >= 0 else None)
    if item.layer.flatten and "in_sequences" in entry:
        # Otherwise the compiler counts the channels of the source instead of the features.
        entry["in_channels"] = item.layer.in_channels * item.layer.input_pixels
    entry |= _pooling(item.layer, plan.part.has_pool_dilation)
    entry |= _operation(item.layer)
    if item.layer.has_weights:
        entry |= _numbers(item, placed)
    return CommentedMap(entry)


def _memory(index: int, placed: LayerPlan, plan: MemoryPlan) -> dict[str, Any]:
    """Return where a layer reads and writes."""
    entry: dict[str, Any] = {}
    if index == 0:
        entry["data_format"] = "CHW" if plan.is_chw else "HWC"
    sources = placed.sources or (index - 1,)
    # Of one predecessor the compiler (ab4f4c0) takes `in_sequences` for a channel concatenation:
    # it then miscounts flattened features and warns about gaps.
    if sources != (index - 1,):
        entry["in_sequences"] = _inline(sources)
    entry["processors"] = HexInt(placed.processors, width=_MAP_DIGITS)
    entry["output_processors"] = HexInt(placed.output_processors, width=_MAP_DIGITS)
    entry["in_offset"] = HexInt(placed.in_offset, width=_OFFSET_DIGITS)
    entry["out_offset"] = HexInt(placed.out_offset, width=_OFFSET_DIGITS)
    if placed.read_gap:
        entry["read_gap"] = placed.read_gap
    if placed.write_gap:
        entry["write_gap"] = placed.write_gap
    if placed.streaming:
        entry["streaming"] = True
    several = any(layer.is_output for layer in plan.layers)
    if placed.is_output or (several and placed is plan.layers[-1]):
        entry["output"] = True
    return entry


def _input_size(layer: HardwareLayer, before: HardwareLayer | None) -> dict[str, Any]:
    """Return rows and columns where they are not those of the layer that writes them."""
    size = layer.input_shape[1:]
    if before is None or layer.input_pixels == 1 or before.output_shape[1:] == size:
        return {}
    return {"in_dim": _inline(_both(size))}


def _pooling(layer: HardwareLayer, has_dilation: bool) -> dict[str, Any]:
    pool = layer.pool
    if pool is None:
        return {}
    key = "max_pool" if pool.kind is PoolKind.MAX else "avg_pool"
    entry: dict[str, Any] = {
        key: _inline(_both(pool.window)),
        "pool_stride": _inline(_both(pool.stride, pool.stride[0])),
    }
    if has_dilation:
        entry["pool_dilation"] = _inline(_both(pool.dilation))
    return entry


def _operation(layer: HardwareLayer) -> dict[str, Any]:
    """Return what a layer computes."""
    alone = layer.eltwise is not None and not layer.has_weights
    entry: dict[str, Any] = {"op": str(layer.eltwise if alone else layer.operator)}
    if layer.eltwise is not None:
        if not alone:
            entry["eltwise"] = str(layer.eltwise)
        entry["operands"] = layer.operands
        if layer.pool is not None:
            entry["pool_first"] = layer.pool_first
    if layer.kernel:
        is_1d = layer.operator is Operator.CONV1D
        is_transposed = layer.operator is Operator.CONV_TRANSPOSE2D
        rows = layer.kernel[0]
        entry["kernel_size"] = rows if is_1d else f"{rows}x{layer.kernel[1]}"
        entry["pad"] = layer.pad[0]
        entry["stride"] = TRANSPOSE_STRIDE if is_transposed else 1
        if is_transposed:
            entry["output_pad"] = TRANSPOSE_OUTPUT_PADDING
        if is_1d:
            entry["dilation"] = layer.dilation[0]
        if layer.groups > 1:
            entry["groups"] = layer.groups
    if layer.operator is Operator.LINEAR:
        entry["flatten"] = layer.flatten
    return entry


def _numbers(item: IntegerLayer, placed: LayerPlan) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "activate": str(item.layer.activation),
        "output_width": 32 if item.layer.wide else 8,
        "quantization": "bin" if item.is_binary else item.weight_bits,
        "output_shift": item.output_shift,
    }
    groups = placed.bias_groups or (() if placed.bias_group is None else (placed.bias_group,))
    if item.layer.groups > 1:
        groups = ()  # the compiler spreads them over the layer's quadrants, and refuses the key
    if groups and item.layer.groups == 1:
        # The compiler spreads depthwise biases itself and refuses the key there.
        entry["bias_group"] = groups[0] if len(groups) == 1 else _inline(groups)
    return entry


def _both(sizes: tuple[int, ...], missing: int = 1) -> list[int]:
    """Return rows and columns; 1-D data has `missing` columns."""
    return [sizes[0], sizes[1] if len(sizes) > 1 else missing]


def _inline(values: Sequence[Any]) -> CommentedSeq:
    sequence = CommentedSeq(values)
    sequence.fa.set_flow_style()
    return sequence

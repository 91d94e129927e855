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

from nibblefit_maxim.layers import IntegerLayer, Operator, PoolKind
from nibblefit_maxim.memory.planner import LayerPlan, MemoryPlan

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
    layer = item.layer
    entry: dict[str, Any] = {"name": names[layer.name]}
    if index == 0:
        entry["data_format"] = "CHW" if plan.is_chw else "HWC"
    if index:
        entry["in_sequences"] = _inline([index - 1])
    entry["processors"] = HexInt(placed.processors, width=_MAP_DIGITS)
    entry["output_processors"] = HexInt(placed.output_processors, width=_MAP_DIGITS)
    entry["in_offset"] = HexInt(placed.in_offset, width=_OFFSET_DIGITS)
    entry["out_offset"] = HexInt(placed.out_offset, width=_OFFSET_DIGITS)
    if layer.pool is not None:
        key = "max_pool" if layer.pool.kind is PoolKind.MAX else "avg_pool"
        entry[key] = _inline(_both(layer.pool.window))
        entry["pool_stride"] = _inline(_both(layer.pool.stride))
    entry["op"] = str(layer.operator)
    if layer.kernel:
        entry["kernel_size"] = (
            layer.kernel[0]
            if layer.operator is Operator.CONV1D
            else f"{layer.kernel[0]}x{layer.kernel[1]}"
        )
        entry["pad"] = layer.pad[0]
        if max(layer.dilation) > 1:
            entry["dilation"] = layer.dilation[0]
        if layer.groups > 1:
            entry["groups"] = layer.groups
    if layer.operator is Operator.LINEAR:
        entry["flatten"] = layer.flatten
    if layer.has_weights:
        entry |= _numbers(item, placed)
    return CommentedMap(entry)


def _numbers(item: IntegerLayer, placed: LayerPlan) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "activate": str(item.layer.activation),
        "output_width": 32 if item.layer.wide else 8,
        "quantization": item.weight_bits,
        "output_shift": item.output_shift,
    }
    if placed.bias_group is not None:
        entry["bias_group"] = placed.bias_group
    return entry


def _both(sizes: tuple[int, ...]) -> list[int]:
    """Return rows and columns; 1-D data has one column."""
    return [sizes[0], sizes[1] if len(sizes) > 1 else 1]


def _inline(values: Sequence[Any]) -> CommentedSeq:
    sequence = CommentedSeq(values)
    sequence.fa.set_flow_style()
    return sequence

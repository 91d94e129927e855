"""Plans that others made: from a parsed network description to a plan that can be proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nibblefit_maxim.layers import HardwareLayer
from nibblefit_maxim.memory.cycles import layer_cycles
from nibblefit_maxim.memory.kernels import place_columns
from nibblefit_maxim.memory.needs import DATA_WORD_BYTES, LayerNeeds
from nibblefit_maxim.memory.plan import LayerPlan, MemoryPlan
from nibblefit_maxim.parts import Part
from nibblefit_maxim.reading.entry import NetworkEntry
from nibblefit_maxim.reading.placed import Placed, output_map


def parsed_plan(
    network: NetworkEntry, placed: Sequence[Placed], part: Part
) -> tuple[list[HardwareLayer], MemoryPlan]:
    """Return layers and plan of a network description, as `prove` takes them.

    Weight columns are the ones that the compiler would choose; biases have no quadrants, since a
    description need not state them.
    """
    layers = [replace(item.layer, output_shape=item.output_shape) for item in placed]
    needs = [
        LayerNeeds(layer, item.weight_bits, item.is_biased)
        for layer, item in zip(layers, placed, strict=True)
    ]
    inputs = [item.entry.processors for item in placed]
    outputs = [output_map(network, item) for item in placed]
    words = [need.kernel_words_for(out) for need, out in zip(needs, outputs, strict=True)]
    columns, used = place_columns(needs, inputs, part, words)
    plans = tuple(
        LayerPlan(
            name=item.entry.name,
            processors=inputs[index],
            output_processors=outputs[index],
            in_offset=item.in_offset(network),
            out_offset=int(item.entry.get("out_offset", 0)),
            input_bytes=_input_bytes(needs[index], item),
            output_bytes=needs[index].output_bytes,
            kernel_column=columns[index],
            kernel_words=words[index],
            bias_group=None,
            bias_bytes=needs[index].bias_bytes,
            sources=item.sources,
            write_gap=int(item.entry.get("write_gap", 0)),
            read_gap=int(item.entry.get("in_skip", 0)),
            is_output=bool(item.entry.get("output")),
            streaming=item.is_streaming,
            cycles=layer_cycles(needs[index], outputs[index], streaming=item.is_streaming),
        )
        for index, item in enumerate(placed)
    )
    is_chw = bool(placed) and placed[0].is_chw
    return layers, MemoryPlan(part, plans, is_chw, tuple(used), (0, 0, 0, 0), tuple(needs))


def _input_bytes(need: LayerNeeds, item: Placed) -> int:
    count = need.layer.input_pixels * need.in_passes * item.operands
    return count if item.is_chw else count * DATA_WORD_BYTES

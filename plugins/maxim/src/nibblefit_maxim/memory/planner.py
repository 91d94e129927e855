"""The memory plan of a chain of layers: maps, offsets, columns and bias groups, or why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nibblefit.results import Table
from nibblefit_maxim.memory.kernels import KernelPlan, plan_kernels
from nibblefit_maxim.memory.limits import chain_shortages, limit_shortages
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.processors import quadrants
from nibblefit_maxim.memory.shortage import BIAS_RULE, Shortage, refuse
from nibblefit_maxim.parts import PROCESSORS, PROCESSORS_PER_INSTANCE, QUADRANTS, Part


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """Where one layer's data and parameters lie. Offsets and sizes are in bytes per instance.

    Attributes:
        processors, output_processors: Maps.
        in_offset, out_offset: Where input and output begin.
        input_bytes, output_bytes: Their sizes.
        kernel_column: First column of weight memory; −1 without weights.
        kernel_words: Columns taken on each active processor.
        bias_group: Quadrant that holds the bias; None without one.
        bias_bytes: Size of the bias.
    """

    name: str
    processors: int
    output_processors: int
    in_offset: int
    out_offset: int
    input_bytes: int
    output_bytes: int
    kernel_column: int
    kernel_words: int
    bias_group: int | None
    bias_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The plan of a network.

    Attributes:
        part: Device it is for.
        layers: In execution order.
        is_chw: The network's input is stored one channel after another.
        kernel_words: Highest used column per processor.
        bias_bytes: Used bytes per quadrant.
    """

    part: Part
    layers: tuple[LayerPlan, ...]
    is_chw: bool
    kernel_words: tuple[int, ...]
    bias_bytes: tuple[int, ...]

    def table(self) -> Table:
        """Return the fit table: one row per layer."""
        columns = ("layer", "processors", "weight words", "bias bytes", "input bytes",
                   "output bytes", "in offset", "out offset")  # fmt: skip
        rows = tuple(
            (
                plan.name, f"{plan.processors:#018x}", plan.kernel_words, plan.bias_bytes,
                plan.input_bytes, plan.output_bytes, f"{plan.in_offset:#06x}",
                f"{plan.out_offset:#06x}",
            )
            for plan in self.layers
        )  # fmt: skip
        return Table(f"Memory plan for {self.part.title}", columns, rows)

    def metrics(self) -> dict[str, float]:
        """Return the fit as numbers: what is used, and of how much."""
        return {
            "layers": len(self.layers),
            "layers_limit": self.part.max_layers,
            "kernel_words_peak": max(self.kernel_words),
            "kernel_words_limit": self.part.kernel_words,
            "kernel_words_total": sum(self.kernel_words),
            "bias_bytes": sum(self.bias_bytes),
            "bias_bytes_limit": self.part.bias_bytes * QUADRANTS,
            "data_bytes_peak": max(p.input_bytes + p.output_bytes for p in self.layers),
            "data_bytes_limit": self.part.instance_bytes,
        }


def try_plan(
    needs: Sequence[LayerNeeds], part: Part, network_input: str
) -> tuple[MemoryPlan | None, list[Shortage]]:
    """Plan a network; without a plan, every shortage that was found.

    Args:
        needs: Layers in execution order.
        part: The device.
        network_input: Name of the tensor that the first layer reads.
    """
    shortages = limit_shortages(needs, part)
    shortages += chain_shortages([need.layer for need in needs], network_input)
    if shortages:
        return None, shortages
    is_chw = _needs_chw(needs, part)
    kernels, shortages = plan_kernels(needs, part, chw=is_chw)
    offsets, found = _offsets(needs, part, chw=is_chw)
    shortages += found
    groups, found = _bias_groups(needs, kernels, part)
    shortages += found
    if shortages:
        return None, shortages
    layers = tuple(
        LayerPlan(
            name=need.layer.name,
            processors=kernels.input_maps[index],
            output_processors=kernels.output_maps[index],
            in_offset=offsets[index],
            out_offset=offsets[index + 1],
            input_bytes=need.input_bytes(chw=is_chw and index == 0),
            output_bytes=need.output_bytes,
            kernel_column=kernels.columns[index],
            kernel_words=need.kernel_words,
            bias_group=groups[index],
            bias_bytes=need.bias_bytes,
        )
        for index, need in enumerate(needs)
    )
    used = [0] * QUADRANTS
    for plan in layers:
        if plan.bias_group is not None:
            used[plan.bias_group] += plan.bias_bytes
    return MemoryPlan(part, layers, is_chw, kernels.used, tuple(used)), []


def plan_memory(needs: Sequence[LayerNeeds], part: Part, network_input: str) -> MemoryPlan:
    """Plan a network.

    Raises:
        LimitError: It does not fit; names every shortage.
        UnsupportedError: It is no chain of layers.
    """
    plan, shortages = try_plan(needs, part, network_input)
    if plan is None:
        raise refuse(shortages, part.title)
    return plan


def _needs_chw(needs: Sequence[LayerNeeds], part: Part) -> bool:
    """Return whether the input must be stored channel by channel because it is too big otherwise.

    HWC stores four channels per word; CHW one channel per memory instance, a quarter of the bytes.
    """
    first = needs[0]
    fits = first.input_bytes() + first.output_bytes <= part.instance_bytes
    instances = PROCESSORS // PROCESSORS_PER_INSTANCE
    return not fits and first.layer.in_channels <= instances and len(first.layer.input_shape) == 3


def _offsets(
    needs: Sequence[LayerNeeds], part: Part, *, chw: bool
) -> tuple[list[int], list[Shortage]]:
    """Return one offset per tensor: even ones from the bottom, odd ones from the middle or top.

    In a chain only a layer's input and output are alive together, so two areas suffice.
    """
    sizes = [needs[0].input_bytes(chw=chw), *(need.output_bytes for need in needs)]
    memory, half = part.instance_bytes, part.instance_bytes // 2
    shortages = []
    for need, size_in, size_out in zip(needs, sizes, sizes[1:], strict=False):
        if size_in + size_out > memory:
            missing = size_in + size_out - memory
            shortages.append(
                Shortage(
                    "memory.data", need.layer.name,
                    f"input ({size_in} bytes) and output ({size_out} bytes) together need "
                    f"{missing} bytes more than the {memory} of a data-memory instance",
                    "pool earlier, use fewer channels above 64, or a smaller input",
                    size_in + size_out, memory, "bytes",
                )
            )  # fmt: skip
    offsets = []
    for index, size in enumerate(sizes):
        around = sizes[max(index - 1, 0) : index + 2]
        if index % 2 == 0:
            offsets.append(0)
        else:
            offsets.append(half if max(around) <= half else memory - size)
    return offsets, shortages


def _bias_groups(
    needs: Sequence[LayerNeeds], kernels: KernelPlan, part: Part
) -> tuple[list[int | None], list[Shortage]]:
    """Return the quadrant of each bias: largest first into the emptiest used quadrant."""
    used = sorted({q for processors in kernels.input_maps for q in quadrants(processors)})
    fill = dict.fromkeys(used, 0)
    groups: list[int | None] = [None] * len(needs)
    shortages = []
    for index in sorted(range(len(needs)), key=lambda i: (-needs[i].bias_bytes, i)):
        size = needs[index].bias_bytes
        if size == 0:
            continue
        quadrant = min(used, key=lambda q: (fill[q], q))
        fill[quadrant] += size
        groups[index] = quadrant
        if fill[quadrant] > part.bias_bytes:
            shortages.append(
                Shortage(
                    BIAS_RULE, needs[index].layer.name,
                    f"{size} biases; the emptiest of {len(used)} quadrants has "
                    f"{part.bias_bytes - fill[quadrant] + size} bytes left",
                    "train this layer without bias, or with fewer channels",
                    fill[quadrant], part.bias_bytes, "bytes",
                )
            )  # fmt: skip
    return groups, shortages

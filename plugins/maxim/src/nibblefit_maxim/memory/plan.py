"""The memory plan of a network, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit.results import Table
from nibblefit_maxim.memory.arrangement import Origin
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.parts import QUADRANTS, Part


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """Where one layer's data and parameters lie. Offsets and sizes are in bytes per instance.

    Attributes:
        processors, output_processors: Maps.
        in_offset, out_offset: Where input and output begin.
        input_bytes, output_bytes: Their sizes, gaps included.
        kernel_column: First column of weight memory; −1 without weights.
        kernel_words: Columns taken on each active processor.
        bias_group: Quadrant that holds the bias, the first one if several do; None without one.
        bias_bytes: Size of the bias.
        sources: Layers that write what it reads, by index; −1 is the network's input.
        write_gap: Words it skips after each word it writes.
        read_gap: Words it skips after each word it reads (MAX78002).
        is_output: A layer before the last whose output is an output of the network.
        streaming: Its input arrives through a rolling buffer while it runs.
        cycles: Estimated clock cycles.
        origin: Why the layer is there.
        bias_groups: All quadrants that hold its bias.
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
    sources: tuple[int, ...] = ()
    write_gap: int = 0
    read_gap: int = 0
    is_output: bool = False
    streaming: bool = False
    cycles: int = 0
    origin: Origin = Origin.NETWORK
    bias_groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The plan of a network.

    Attributes:
        part: Device it is for.
        layers: In execution order.
        is_chw: The network's input is stored one channel after another.
        kernel_words: Used columns of weight memory per processor.
        bias_bytes: Used bytes per quadrant.
        needs: What each layer asks for, inserted layers included.
        overlaps: The compiler's own check of overwritten data must be off (``--overlap-data``),
            because it also protects data that nobody reads any more.
    """

    part: Part
    layers: tuple[LayerPlan, ...]
    is_chw: bool
    kernel_words: tuple[int, ...]
    bias_bytes: tuple[int, ...]
    needs: tuple[LayerNeeds, ...] = ()
    overlaps: bool = False

    @property
    def uses_fifo(self) -> bool:
        """Whether the network's input arrives through the FIFO."""
        return self.layers[0].streaming

    @property
    def cycles(self) -> int:
        """Estimated clock cycles of one inference."""
        from nibblefit_maxim.memory.cycles import START_CYCLES

        return START_CYCLES + sum(layer.cycles for layer in self.layers)

    @property
    def milliseconds(self) -> float:
        """Estimated time of one inference at the part's clock."""
        return 1000 * self.cycles / self.part.clock_hertz

    @property
    def flags(self) -> tuple[str, ...]:
        """Options that the vendor's compiler needs for this plan."""
        return ("--fifo",) * self.uses_fifo + ("--overlap-data",) * self.overlaps

    def doubts(self) -> tuple[str, ...]:
        """Return what the vendor warns of in such a plan, as sentences without full stops.

        Source: ai8x-synthesis commit ab4f4c0, `izer/kbias.py`.
        """
        if self.part.name != "max78000":
            return ()
        return tuple(
            f"layer '{layer.name}' streams and has a bias; the {self.part.title} may compute it "
            "wrongly: train it without bias, or verify it on the device"
            for layer in self.layers
            if layer.streaming and layer.bias_bytes
        )

    def table(self) -> Table:
        """Return the fit table: one row per layer."""
        columns = ("layer", "processors", "weight words", "bias bytes", "input bytes",
                   "output bytes", "in offset", "out offset", "gap", "cycles")  # fmt: skip
        rows = tuple(
            (
                plan.name, f"{plan.processors:#018x}", plan.kernel_words, plan.bias_bytes,
                plan.input_bytes, plan.output_bytes, f"{plan.in_offset:#06x}",
                f"{plan.out_offset:#06x}", plan.write_gap, plan.cycles,
            )
            for plan in self.layers
        )  # fmt: skip
        return Table(f"Memory plan for {self.part.title}", columns, rows)

    @property
    def fullest_processor(self) -> int:
        """Processor whose weight memory is used most, measured by what it has."""
        return max(
            range(len(self.kernel_words)),
            key=lambda p: (self.kernel_words[p] / self.part.kernel_room(p), -p),
        )

    def metrics(self) -> dict[str, float]:
        """Return the fit as numbers: what is used, and of how much."""
        fullest = self.fullest_processor
        return {
            "layers": len(self.layers),
            "layers_limit": self.part.max_layers,
            "layers_inserted": sum(plan.origin is not Origin.NETWORK for plan in self.layers),
            "kernel_words_peak": self.kernel_words[fullest],
            "kernel_words_limit": self.part.kernel_room(fullest),
            "kernel_words_total": sum(self.kernel_words),
            "bias_bytes": sum(self.bias_bytes),
            "bias_bytes_limit": self.part.bias_bytes * QUADRANTS,
            "data_bytes_peak": max(
                max(p.in_offset + p.input_bytes, p.out_offset + p.output_bytes) for p in self.layers
            ),
            "data_bytes_limit": self.part.instance_bytes,
            "cycles": self.cycles,
            "milliseconds": self.milliseconds,
        }

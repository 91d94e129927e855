"""How full the memories get: tables and numbers for `inspect`, reports and JSON."""

from __future__ import annotations

from nibblefit.ir.graph import frozen_mapping
from nibblefit.results import Finding, Report, Status, Table
from nibblefit_maxim.memory.needs import DATA_WORD_BYTES
from nibblefit_maxim.memory.plan import MemoryPlan
from nibblefit_maxim.memory.processors import instances
from nibblefit_maxim.parts import PROCESSORS, PROCESSORS_PER_INSTANCE, QUADRANTS

#: Index of the network's input among the layers.
_INPUT = -1


def fit_report(plan: MemoryPlan) -> Report:
    """Return how a network fits: per layer, per processor, per quadrant, per instance and step."""
    part = plan.part
    estimate = "" if part.name == "max78000" else ", an estimate of our own"
    findings = (
        Finding(
            "memory.fits", Status.PASSED,
            f"fits the {part.title}: {plan.cycles:,} cycles, {plan.milliseconds:.2f} ms{estimate}",
        ),
        *(Finding("memory.doubt", Status.WARNING, doubt) for doubt in plan.doubts()),
    )  # fmt: skip
    return Report(
        f"fit on {part.title}",
        frozen_mapping(plan.metrics()),
        findings,
        (plan.table(), weight_table(plan), bias_table(plan), data_table(plan)),
    )


def weight_table(plan: MemoryPlan) -> Table:
    """Return the words of weight memory that each processor uses."""
    rows = tuple((p, words, plan.part.kernel_room(p)) for p, words in enumerate(plan.kernel_words))
    return Table("Weight memory", ("processor", "words", "of"), rows)


def bias_table(plan: MemoryPlan) -> Table:
    """Return the bytes of bias memory that each quadrant uses."""
    rows = tuple((q, plan.bias_bytes[q], plan.part.bias_bytes) for q in range(QUADRANTS))
    return Table("Bias memory", ("quadrant", "bytes", "of"), rows)


def data_table(plan: MemoryPlan) -> Table:
    """Return the bytes that are alive in each instance while each layer runs."""
    count = PROCESSORS // PROCESSORS_PER_INSTANCE
    rows = tuple(
        (layer.name, *fill) for layer, fill in zip(plan.layers, instance_bytes(plan), strict=True)
    )
    return Table("Data memory in use", ("layer", *map(str, range(count))), rows)


def instance_bytes(plan: MemoryPlan) -> list[list[int]]:
    """Return, per layer, the bytes alive in each instance: what is still read, and its output."""
    count = PROCESSORS // PROCESSORS_PER_INSTANCE
    total = len(plan.layers)
    found = [[0] * count for _ in range(total)]
    for source, last in _last_uses(plan).items():
        if source == _INPUT:
            reader = next(layer for layer in plan.layers if _INPUT in (layer.sources or (_INPUT,)))
            where, size = instances(reader.processors), reader.input_bytes
        else:
            layer = plan.layers[source]
            # Of interleaved words only the tensor's own count.
            words = layer.output_bytes // DATA_WORD_BYTES + layer.write_gap
            size = words // (1 + layer.write_gap) * DATA_WORD_BYTES
            where = instances(layer.output_processors)
        for step in range(max(source, 0), min(last, total - 1) + 1):
            for instance in where:
                found[step][instance] += size
    return found


def _last_uses(plan: MemoryPlan) -> dict[int, int]:
    """Return the last step that needs each tensor; outputs are needed to the end."""
    total = len(plan.layers)
    last = {_INPUT: 0} | {
        index: total if layer.is_output or index == total - 1 else index
        for index, layer in enumerate(plan.layers)
    }
    for index, layer in enumerate(plan.layers):
        for source in layer.sources or (index - 1,):
            last[source] = max(last[source], index)
    return last

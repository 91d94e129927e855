"""From a float network to integers: prepare, calibrate, correct biases, align, lower."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import FloatConstant, Graph, frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit_vitis.alignment import Change, align
from nibblefit_vitis.calibration import calibrate
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.options import Direction
from nibblefit_vitis.preparation import prepare_graph
from nibblefit_vitis.preparation.keeping import refined, widened
from nibblefit_vitis.quantize.facts import facts_of
from nibblefit_vitis.quantize.integers import lower_network
from nibblefit_vitis.settings import NetworkSetting

Array = npt.NDArray[np.float32]
Corrections = Mapping[str, npt.NDArray[np.float64]]
#: Gives the calibration samples, from the start each time it is called.
Samples = Callable[[], Iterable[Array]]
#: Trains weights under frozen formats: graph, float network, formats, their setting, samples →
#: graph and notes.
Finetune = Callable[
    [Graph, Graph, NetworkFormats, NetworkSetting, Samples], tuple[Graph, tuple[str, ...]]
]


@dataclass(frozen=True, slots=True)
class Quantized:
    """A quantized network and how it came about.

    Attributes:
        graph: The integers.
        prepared: The float network behind them: prepared, perhaps finetuned, biases corrected.
        formats: After alignment.
        corrections: What was subtracted from float biases, by name.
        changes: What alignment moved.
        notes: What the user should know.
    """

    graph: QuantizedGraph
    prepared: Graph
    formats: NetworkFormats
    corrections: Corrections = field(default_factory=frozen_mapping)
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    """What is calibrated.

    Attributes:
        graph: Prepared float graph.
        setting: The configuration, with wider layers where they keep accuracy.
        notes: What preparation changed.
    """

    graph: Graph
    setting: NetworkSetting
    notes: tuple[str, ...]


def ready(graph: Graph, setting: NetworkSetting) -> Ready:
    """Return a float network as it is calibrated, and the setting that holds for it."""
    prepared = prepare_graph(graph, setting)
    setting, notes = widened(prepared.graph, setting)
    return Ready(prepared.graph, setting, (*prepared.notes, *notes))


def quantize_network(
    graph: Graph, setting: NetworkSetting, samples: Samples, *, direction: Direction = "output",
    finetune: Finetune | None = None, metadata: Mapping[str, Any] | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> Quantized:  # fmt: skip
    """Quantize a float network after training.

    Args:
        graph: Any canonical float graph with one input.
        setting: What is asked for every tensor.
        samples: Calibration inputs (count, channels, *spatial).
        direction: What alignment moves.
        finetune: Trains weights after alignment.
        metadata: Written into the result.
        on_batch: Called with the number of samples of each calibration batch.

    Raises:
        InputError: There are no samples, or values are not finite.
        UnsupportedError: A layer has no integer form.
    """
    prepared = ready(graph, setting)
    setting, notes = prepared.setting, prepared.notes
    found = calibrate(prepared.graph, setting, samples(), on_batch=on_batch)
    network, found = refined(prepared.graph, found, setting, samples())
    from_codes = network is not prepared.graph
    network = with_corrections(network, found.corrections)
    formats, changes = align(network, found.formats, setting, direction=direction)
    if finetune is not None:
        network, said = finetune(network, prepared.graph, formats, setting, samples)
        notes, from_codes = (*notes, *said), True
    return finished(
        network, formats, setting, corrections=found.corrections, changes=changes,
        notes=(*notes, *found.notes), finetuned=finetune is not None, from_codes=from_codes,
        metadata=metadata,
    )  # fmt: skip


def finished(
    prepared: Graph, formats: NetworkFormats, setting: NetworkSetting, *,
    corrections: Corrections | None = None, changes: tuple[Change, ...] = (),
    notes: tuple[str, ...] = (), finetuned: bool = False, from_codes: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> Quantized:  # fmt: skip
    """Return the integers of a prepared network whose formats are final.

    `from_codes` says that weights are no longer those that preparation gives.
    """
    corrected: Corrections = corrections or {}
    facts = facts_of(formats, corrected, changes=changes, notes=notes, finetuned=finetuned,
                     from_codes=from_codes)  # fmt: skip
    lowered = lower_network(prepared, formats, setting, metadata={**facts, **(metadata or {})})
    return Quantized(lowered, prepared, formats, frozen_mapping(corrected), changes, notes)


def with_corrections(graph: Graph, corrections: Corrections) -> Graph:
    """Return the graph with corrected biases."""
    changed: dict[str, FloatConstant] = {}
    for name, correction in corrections.items():
        bias = graph.constants[name]
        corrected = np.asarray(bias, np.float64) - correction
        changed[name] = corrected if bias.dtype == np.float64 else corrected.astype(np.float32)
        changed[name].flags.writeable = False
    return graph.with_constants(changed)

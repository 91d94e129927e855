"""The time of every layer of a network on either core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nibblefit.ir.graph import Graph
from nibblefit_tidl.classic.kernels import kernel_choices
from nibblefit_tidl.classic.merging import MergedLayer, merged_layers
from nibblefit_tidl.classic.options import Kernel
from nibblefit_tidl.latency.fitting import core_model
from nibblefit_tidl.latency.work import layer_work


@dataclass(frozen=True, slots=True)
class LayerTime:
    """One layer of the importer and its estimated milliseconds on each core."""

    layer: MergedLayer
    eve: float
    dsp: float


def layer_times(
    graph: Graph, kernel: Kernel | Mapping[str, Kernel] = "auto"
) -> tuple[LayerTime, ...]:
    """Return the layers of a folded graph with their times, in execution order.

    The DSP always skips weights of zero, EVE where it runs the sparse kernel. The published
    latencies say nothing of the dense kernel, so it is taken to need as long as the sparse one
    without zeros: at most that.

    Args:
        graph: The folded graph; zeros in its weights count.
        kernel: As the option of the target.

    Raises:
        RecipeError: `kernel` names a layer that is no convolution.
    """
    choices = {choice.layer: choice for choice in kernel_choices(graph, kernel)}
    eve, dsp, found = core_model("eve"), core_model("dsp"), []
    for layer in merged_layers(graph):
        choice = choices.get(layer.name)
        kept = 1.0 - choice.sparsity if choice else 1.0
        on_eve = 1.0 if choice and choice.dense else kept
        found.append(
            LayerTime(
                layer,
                eve.milliseconds(layer_work(graph, layer, on_eve)),
                dsp.milliseconds(layer_work(graph, layer, kept)),
            )
        )
    return tuple(found)

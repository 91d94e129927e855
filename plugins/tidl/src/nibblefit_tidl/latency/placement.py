"""Which layers run on EVE and which on the DSP: the placement with the shortest latency.

The importer's ``layersGroupId`` gives every layer a group, 1 for EVE and 2 for DSP, and a group's
layers are neighbours; so a frame changes cores at most once. Data layers are group 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, prod

from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.quantization.fold import fold
from nibblefit_tidl.classic.options import Kernel
from nibblefit_tidl.devices import ClassicDevice, classic_device_named
from nibblefit_tidl.latency.fitting import core_model
from nibblefit_tidl.latency.timing import LayerTime, layer_times

#: Values of layersGroupId. Source: classic importer.
DATA, EVE, DSP = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Placement:
    """Groups of the importer's layers and what they come to.

    Attributes:
        groups: Name of the importer's layer (its first node) → 1 (EVE) or 2 (DSP), in order.
        inputs: Input data layers, in front.
        outputs: Output data layers, at the end.
        milliseconds: Estimated latency of one frame, handing over included.
    """

    groups: Mapping[str, int]
    inputs: int
    outputs: int
    milliseconds: float

    @property
    def group_ids(self) -> tuple[int, ...]:
        """The list layersGroupId, data layers included."""
        return (*(DATA,) * self.inputs, *self.groups.values(), *(DATA,) * self.outputs)


def placement(
    graph: Graph,
    device: ClassicDevice | str = "",
    kernel: Kernel | Mapping[str, Kernel] = "auto",
) -> Placement:
    """Return the placement with the shortest estimated latency.

    Args:
        graph: Any float graph; batch norm is folded here.
        device: The device or its name; decides which cores there are.
        kernel: As the option of the target.

    Raises:
        RecipeError: `kernel` names a layer that is no convolution.
    """
    if isinstance(device, str):
        device = classic_device_named(device)
    folded = fold(graph)
    times = layer_times(folded, kernel)
    cores = [core for core, count in ((EVE, device.eves), (DSP, device.dsps)) if count]
    chosen, milliseconds = best_groups(times, handovers(folded, times), cores)
    groups = {time.layer.name: core for time, core in zip(times, chosen, strict=True)}
    return Placement(frozen_mapping(groups), len(folded.inputs), len(folded.outputs), milliseconds)


def best_groups(
    times: Sequence[LayerTime], handover: Sequence[float], cores: Sequence[int] = (EVE, DSP)
) -> tuple[list[int], float]:
    """Return the group of every layer and the latency, by dynamic programming over the layers.

    Args:
        times: The layers.
        handover: Milliseconds for changing cores before each layer.
        cores: Groups to choose from; with equal latency the first wins.
    """
    # (core, changed) → latency so far and the groups that lead there
    ways: dict[tuple[int, bool], tuple[float, list[int]]] = {(c, False): (0.0, []) for c in cores}
    for place, time in enumerate(times):
        cost = {EVE: time.eve, DSP: time.dsp}
        following = {}
        for core in cores:
            alone = ways[core, False]
            following[core, False] = (alone[0] + cost[core], [*alone[1], core])
            arrivals = [ways[core, True]] if (core, True) in ways else []
            arrivals += [
                (ways[other, False][0] + handover[place], ways[other, False][1])
                for other in cores
                if place and other != core
            ]
            if arrivals:
                so_far, groups = min(arrivals, key=lambda way: way[0])
                following[core, True] = (so_far + cost[core], [*groups, core])
        ways = following
    latency, groups = min(ways.values(), key=lambda way: way[0], default=(inf, []))
    return groups, latency


def handovers(graph: Graph, times: Sequence[LayerTime]) -> list[float]:
    """Return what changing cores before each layer costs: the tensors that cross are copied.

    A value copied is taken to cost what EVE takes to write one; there is no published figure.
    """
    per_element = core_model("eve").costs["elements"] / 1e6
    last_read: dict[str, int] = {}
    for place, time in enumerate(times):
        for node in time.layer.nodes:
            last_read.update(dict.fromkeys((n for n in node.inputs if n in graph.shapes), place))
    made = {
        output: place for place, time in enumerate(times) for output in time.layer.nodes[-1].outputs
    }
    costs = []
    for place in range(len(times)):
        crossing = (n for n, at in made.items() if at < place <= last_read.get(n, -1))
        costs.append(per_element * sum(prod(graph.shapes[name]) for name in crossing))
    return costs

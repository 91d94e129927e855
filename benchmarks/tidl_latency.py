"""The latency model of the classic TIDL devices beside every figure that TI published."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from torch import nn

from benchmarks.section import Grid, Section
from nibblefit.ir.graph import Graph, Node, Shape, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.shapes import infer_shapes
from nibblefit.nn.capture import capture
from nibblefit.quantization.fold import fold
from nibblefit_tidl import zoo
from nibblefit_tidl.classic.merging import merged_layers
from nibblefit_tidl.latency import published
from nibblefit_tidl.latency.errors import mean_error, point_errors
from nibblefit_tidl.latency.fitting import core_model
from nibblefit_tidl.latency.placement import DSP, placement
from nibblefit_tidl.latency.published import BOTH, Core
from nibblefit_tidl.latency.work import Work, layer_work, total

#: Share of zeros of a convolution, by its name in the zoo and its kernel's taps.
Zeros = Callable[[str, int], float]


CLASSIFIERS: Mapping[str, Callable[[], nn.Module]] = {
    "MobileNetV1": zoo.mobilenetv1,
    "SqueezeNet": lambda: zoo.squeezenet(padding=1),
    "InceptionNetV1": zoo.inceptionnetv1,
    "JacintoNet11": zoo.jacintonet11,
}


def captured(module: nn.Module, shape: Shape, small: Shape) -> Graph:
    """Return the folded graph of a module for inputs of `shape`, captured with small ones."""
    graph = fold(capture(module.eval(), small, name="network"))
    shapes: dict[str, Shape] = {graph.inputs[0]: shape}
    for node in graph.nodes:
        inputs = [shapes.get(name) or graph.constants[name].shape for name in node.inputs]
        shapes.update(
            zip(node.outputs, infer_shapes(node.op, node.attributes, inputs), strict=True)
        )
    return replace(graph, shapes=frozen_mapping(shapes))


def network(name: str) -> Graph:
    """Return one of TI's networks at the published input size, with the layers it ends with."""
    side = 227 if name == "SqueezeNet" else 224
    if name == "JSegNet21":
        return captured(zoo.jsegnet21(decide=True), (3, 512, 1024), (3, 64, 64))
    if name == "JDetNet":
        return captured(zoo.jdetnet(), (3, 320, 768), (3, 320, 768))
    module = nn.Sequential(
        OrderedDict([("network", CLASSIFIERS[name]()), ("softmax", nn.Softmax(1))])
    )
    return captured(module, (3, side, side), (3, 64, 64))


def listed(zeros: Mapping[str, float]) -> Zeros:
    """Return the zeros of layers that are listed by the last part of their name."""

    def of(name: str, taps: int) -> float:  # noqa: ARG001
        parts = name.replace(".", "/").split("/")
        return next(share for layer, share in zeros.items() if layer in parts)

    return of


#: (network, variant) → zeros of its convolutions.
ZEROS: Mapping[tuple[str, str], Zeros] = {
    ("MobileNetV1", "as trained"): lambda *_: published.MOBILENET_ZEROS,
    ("SqueezeNet", "as trained"): lambda *_: published.SQUEEZENET_ZEROS,
    ("InceptionNetV1", "as trained"): lambda *_: published.INCEPTION_ZEROS,
    ("JacintoNet11", "dense"): lambda *_: 0.0,
    ("JacintoNet11", "sparse"): listed(published.JACINTONET11_ZEROS),
    ("JSegNet21", "dense"): lambda *_: 0.0,
    ("JSegNet21", "sparse"): listed(published.JSEGNET21_ZEROS),
    ("JDetNet", "sparse"): lambda _, taps: published.JDETNET_ZEROS if taps > 1 else 0.0,
}


def work_of(graph: Graph, zeros: Zeros) -> Work:
    """Return what a network asks of a core that skips its zeros."""
    return total(
        layer_work(graph, layer, 1.0 - _share(graph, layer.nodes[0], zeros))
        for layer in merged_layers(graph)
    )


def _share(graph: Graph, node: Node, zeros: Zeros) -> float:
    if node.op is not Op.CONV:
        return 0.0
    return zeros(node.name, prod(graph.constants[node.inputs[1]].shape[2:]))


def with_zeros(graph: Graph, zeros: Zeros) -> Graph:
    """Return a network whose convolutions have that share of weights exactly zero."""
    changed = {}
    for node in graph.nodes:
        if node.op is Op.CONV:
            values = np.ones_like(graph.constants[node.inputs[1]])
            values.reshape(-1)[: round(_share(graph, node, zeros) * values.size)] = 0.0
            changed[node.inputs[1]] = values
    return graph.with_constants(changed)


def derived(name: str, variant: str) -> Work:
    """Return the work behind a latency of one core, from the network itself."""
    return work_of(network(name), ZEROS[name, variant])


def measure() -> Section:
    """Compare the model with every published latency."""
    grids = [_single(core) for core in ("eve", "dsp")]
    note = (
        "Published: TI's table for AM57xx, one frame. Residual: the model fitted to all latencies "
        "of the core. Left out: fitted to all others; network left out: to all other networks. Few "
        "points and few networks: expect an estimate for an unseen network to be off by the last "
        "two columns rather than the first."
    )
    return Section("tidl_latency", "Latency of the classic TIDL devices", "make results",
                   [*grids, _costs(), _both()], note)  # fmt: skip


def _single(core: Core) -> Grid:
    found, model = point_errors(core), core_model(core)
    rows: list[list[Any]] = [
        [e.point.name, f"{e.point.milliseconds:.2f}", f"{model.milliseconds(e.point.work):.1f}",
         f"{e.residual:+.1%}", f"{e.left_out:+.1%}", f"{e.network_left_out:+.1%}"]
        for e in found
    ]  # fmt: skip
    means = [
        mean_error([getattr(e, name) for e in found])
        for name in ("residual", "left_out", "network_left_out")
    ]
    rows.append(["**mean magnitude**", "", "", *(f"{mean:.1%}" for mean in means)])
    columns = ("network", "published ms", "model ms", "residual", "left out", "network left out")
    return Grid(core.upper(), columns, rows)


def _costs() -> Grid:
    units = {
        "window_macs": "ms per million multiply-accumulates, kernels above 1 × 1",
        "point_macs": "ms per million multiply-accumulates, 1 × 1",
        "macs": "ms per million multiply-accumulates",
        "weights": "ms per million weights fetched",
        "elements": "ms per million values written",
        "scores": "ms per thousand softmax inputs",
        "joins": "ms per concatenation",
    }
    rows = [
        [core.upper(), units[term], f"{cost:.4g}"]
        for core in ("eve", "dsp")
        for term, cost in core_model(core).costs.items()
    ]
    note = (
        "The cost of a concatenation on the DSP rests on SqueezeNet and InceptionNetV1 alone and "
        "stands for whatever makes networks with branches slow there."
    )
    return Grid("Fitted costs", ("core", "unit", "cost"), rows, note)


def _both() -> Grid:
    rows = []
    for name, latency in BOTH.items():
        key, variant = name.split()
        graph = with_zeros(network(key), ZEROS[key, variant])
        found = placement(graph, kernel="sparse")
        first = next((n for n, group in found.groups.items() if group == DSP), "none")
        rows.append([name, f"{latency:.2f}", f"{found.milliseconds:.1f}",
                     f"{found.milliseconds / latency - 1:+.1%}", f"`{first}`"])  # fmt: skip
    columns = ("network", "published ms", "best placement ms", "error", "first layer on the DSP")
    note = (
        "Not part of the fit. TI does not say where it changed cores, nor (JDetNet) which layers "
        "behind the heads are included; ours ends at locations and scores."
    )
    return Grid("EVE and DSP", columns, rows, note)

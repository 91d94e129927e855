"""Fusing: walk the float graph once, keep what the hardware does first waiting, close layers late.

A layer of the hardware pools and combines its inputs, then convolves, then rectifies. So pools,
additions and flattening wait in a `Value` until the next operator takes them along; batch norm is
folded first, and rectifiers join the layer that was made last, if nobody else reads what lies
between. What each operator becomes stands in the modules beside this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit_maxim.fusing import combining, moving, rectifying, weighted
from nibblefit_maxim.fusing.approximation import approximated
from nibblefit_maxim.fusing.assembly import Assembly, Rules
from nibblefit_maxim.fusing.geometry import UnfitError
from nibblefit_maxim.fusing.hosting import host, is_hosted
from nibblefit_maxim.fusing.network import FusedNetwork, NetworkOutput, Refusal
from nibblefit_maxim.fusing.norms import folded_graph, with_norms
from nibblefit_maxim.fusing.value import Value
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import Part

#: Nearest thing that works, for operators the hardware lacks.
HINTS: dict[Op, str] = {
    Op.LEAKY_RELU: "use relu or abs",
    Op.PRELU: "use relu or abs",
    Op.HARD_SIGMOID: "use relu inside; end the network with a sigmoid, which host software does",
    Op.HARD_SWISH: "use relu",
    Op.MUL: "use add; there is no product of two tensors",
    Op.MATMUL: "use a linear layer with constant weights; there is no product of two tensors",
    Op.PAD: "let the convolution pad by 0, 1 or 2, with zeros",
    Op.RESIZE_BILINEAR: "repeat positions (nearest), or use a transposed convolution",
    Op.PIXEL_SHUFFLE: "use a transposed convolution",
    Op.TRANSPOSE: "keep channels first; the hardware does not reorder axes",
    Op.SLICE: "make the smaller tensor by a convolution or pool of its own",
    Op.SPLIT: "make each part by a convolution of its own",
}

Handler = Callable[[Assembly, Node], Value]
HANDLERS: Mapping[Op, Handler] = {
    Op.CONV: weighted.conv,
    Op.CONV_TRANSPOSE: weighted.conv_transpose,
    Op.LINEAR: weighted.linear,
    Op.SCALE_OFFSET: weighted.scale_offset,
    Op.RELU: rectifying.rectify,
    Op.ABS: rectifying.rectify,
    Op.CLIP: rectifying.rectify,
    Op.CONCAT: combining.concat,
    **dict.fromkeys(combining.ELTWISE, combining.combine),
    **dict.fromkeys(
        (Op.MAX_POOL, Op.AVG_POOL, Op.GLOBAL_AVG_POOL, Op.GLOBAL_MAX_POOL), combining.pool
    ),
    Op.FLATTEN: moving.reshape,
    Op.RESHAPE: moving.reshape,
    Op.RESIZE_NEAREST: moving.resize_nearest,
}


def fuse(
    graph: Graph, part: Part, *, wide_output: bool = True, rounds_averages: bool = False
) -> FusedNetwork:
    """Return the hardware layers of a float graph, and every layer that cannot be one.

    Args:
        graph: With or without batch norm, which is folded for the purpose; of the constants only
            shapes count.
        part: Device whose operators count.
        wide_output: A last layer without activation writes its 32-bit accumulator.
        rounds_averages: 2-D averages are rounded half away from zero instead of truncated.
    """
    folded = folded_graph(graph)
    site = Assembly(folded, part, Rules(wide_output, rounds_averages))
    if len(folded.inputs) != 1:
        site.refusals.append(
            Refusal(graph.name, f"it has {len(folded.inputs)} inputs", "use one input")
        )
    for name in folded.inputs:
        site.values[name] = Value((name,), folded.shapes[name], folded.shapes[name])
    for node in folded.nodes:
        _visit(site, node)
    outputs, results = _outputs(site)
    site.layers = with_norms(site.layers, graph, folded)
    return _network(site, outputs, results)


def fuse_for(graph: Graph, part: Part, options: MaximOptions) -> FusedNetwork:
    """Return the hardware layers of a float graph as a recipe asks for them."""
    return fuse(
        approximated(graph, options.approximations),
        part,
        wide_output=options.wide_output,
        rounds_averages=options.rounds_averages,
    )


def _visit(site: Assembly, node: Node) -> None:
    try:
        value = _value(site, node)
    except UnfitError as error:
        shape = site.graph.shapes[node.output]
        site.refusals.append(Refusal(node.name, error.reason, error.hint))
        # Later layers are still examined, as if this one existed.
        value = Value((node.name,), shape, shape, is_shared=True)
    for output in node.outputs:
        site.values[output] = value


def _value(site: Assembly, node: Node) -> Value:
    if is_hosted(site, node):
        return host(site, node)
    if node.op not in HANDLERS:
        hint = HINTS.get(node.op, "replace it by convolution, pooling, add, relu or abs")
        raise UnfitError(f"the hardware has no {node.op}", hint)
    return HANDLERS[node.op](site, node)


def _outputs(site: Assembly) -> tuple[list[NetworkOutput], tuple[str, ...]]:
    """Return what the accelerator hands over, and the names of the network's outputs."""
    wanted = [name for name in site.graph.outputs if not site.values[name].host]
    made = {node.name for node in site.host}
    wanted += [node.input for node in site.host if node.input not in made]
    outputs = [_output(site, name) for name in dict.fromkeys(wanted)]
    # Only now has every layer that may read another one been made.
    for output in outputs:
        layer = site.layers.get(output.tensor)
        if layer and site.rules.wide_output and site.ends(layer):
            site.layers[layer.name] = replace(layer, wide=True)
    results = tuple(site.values[name].host or name for name in site.graph.outputs)
    return outputs, results


def _output(site: Assembly, name: str) -> NetworkOutput:
    value = site.values[name]
    if not value.is_plain or value.sources[0] in site.graph.inputs:
        value = site.flush(value)
    crops = any(value.surplus)
    return NetworkOutput(
        name,
        value.sources[0],
        site.graph.shapes[name],
        value.operand_shape if crops else (),
        value.shape if crops else (),
    )


def _network(
    site: Assembly, outputs: list[NetworkOutput], results: tuple[str, ...]
) -> FusedNetwork:
    graph = site.graph
    tensors = {layer.name: layer.tensor for layer in site.layers.values()}
    return FusedNetwork(
        graph.name,
        graph.inputs[0],
        graph.shapes[graph.inputs[0]],
        tuple(
            replace(layer, inputs=tuple(tensors.get(name, name) for name in layer.inputs))
            for layer in site.layers.values()
        ),
        tuple(replace(item, tensor=tensors.get(item.tensor, item.tensor)) for item in outputs),
        tuple(site.refusals),
        tuple(site.host),
        results,
    )

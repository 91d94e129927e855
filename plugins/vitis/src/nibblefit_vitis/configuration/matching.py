"""Which layers of a network an entry of the file is about."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from nibblefit.errors import did_you_mean
from nibblefit.ir.graph import Graph
from nibblefit_vitis.configuration.layer_types import INPUT, known_types, type_names
from nibblefit_vitis.configuration.problems import dotted, shortened
from nibblefit_vitis.configuration.schema import LayerEntry

#: Modules in a generated name: ``ResNet::ResNet/Sequential[layer1]/Conv2d[conv1]/ret.3``.
_MODULE = re.compile(r"[^/\[\]]+\[([^\]]+)\]")
#: What every generated name begins with.
_GENERATED = re.compile(r"^[^/]*::")
#: Mark of the names by number: ``Net::nndct_relu_2``.
NUMBERED = "::nndct_"
#: A further use of the same module has a number behind its name.
_USE = re.compile(r"@\d+$")


def matched(entry: LayerEntry, graph: Graph, *, parity: bool = False) -> tuple[str, ...]:
    """Return the nodes and graph inputs that an entry means, in the graph's order.

    A type matches its last dotted part, whatever its letters' case; with `parity` a depthwise
    convolution is a type of its own. A name matches a layer or
    tensor, a module path (with every layer below it), or a glob over these. Of names that the
    original generated there are two sorts: with modules in brackets, of which the path counts and
    not the counter behind it, which changes with every version of model and torch; and with the
    number of the operator, as in ``quant_info.json``.
    """
    if entry.kind_of_name == "layer_type":
        wanted = entry.named.lower()
        found = [name for name in graph.inputs if wanted == INPUT]
        return (*found, *(node.name for node in graph.nodes
                          if wanted in type_names(node, graph, parity=parity)))  # fmt: skip
    if NUMBERED in entry.named:
        return _numbered(entry.named, graph)
    pattern, is_generated = module_path(entry.named), bool(_GENERATED.match(entry.named))
    names = {name: {name} for name in graph.inputs}
    for node in graph.nodes:
        names[node.name] = {node.name, _USE.sub("", node.name), node.source, *node.outputs} - {""}
    # A generated name means one operator, so never all that is in a module.
    return tuple(
        name for name, known in names.items()
        if pattern in known or (not is_generated and any(_is_meant(pattern, one) for one in known))
    )  # fmt: skip


def module_path(name: str) -> str:
    """Return the module path of a name that the original generated; other names as they are."""
    if not _GENERATED.match(name):
        return name
    modules = _MODULE.findall(name)
    return ".".join(modules) if modules else name


def unmatched_note(entry: LayerEntry, number: int, graph: Graph) -> str:
    """Return what to say about an entry that no layer matches."""
    place = f"{dotted(('layer_quantize_config', number))}: {entry.kind_of_name}"
    if entry.kind_of_name == "layer_type":
        lower = {word.lower(): word for word in known_types()}
        if entry.named.lower() in lower:
            return f"{place} '{entry.named}' matches nothing: the network has no such layer"
        close = _nearest(entry.named.lower(), lower)
    else:
        inside = [node.name for node in graph.nodes
                  if node.name.startswith(f"{module_path(entry.named)}.")]  # fmt: skip
        if inside and _GENERATED.match(entry.named):
            return (f"{place} '{shortened(entry.named)}' means an operation inside a module, by a "
                    f"counter that is not kept; name it: {', '.join(inside[:4])}")  # fmt: skip
        close = _nearest(module_path(entry.named), {n.name: n.name for n in graph.nodes})
    return f"{place} '{shortened(entry.named)}' matches no layer{close}"


def _is_meant(pattern: str, name: str) -> bool:
    return name.startswith(f"{pattern}.") or fnmatchcase(name, pattern)


def _numbered(name: str, graph: Graph) -> tuple[str, ...]:
    """Return the operator of a number: batch norms that fold and dropout have none."""
    from nibblefit.nn.rewrite import remove_dropout, remove_identity
    from nibblefit_vitis.preparation.norms import fold_norms
    from nibblefit_vitis.writing.naming import OriginalNames

    counted, _ = fold_norms(remove_identity(remove_dropout(graph)), parity=True)
    names = OriginalNames(counted)
    wanted = f"{names.prefix}::{name.partition('::')[2]}"
    places = {**{one: names.tensors[one] for one in graph.inputs}, **names.layers}
    return tuple(one for one, given in places.items() if given == wanted)


def _nearest(word: str, known: dict[str, str]) -> str:
    text = did_you_mean(word, known)
    if not text.startswith("did"):
        return ""
    close = text.split("'")[1]
    return f"; did you mean '{known[close]}'?"

"""XIR values to the bytes of an ``.xmodel`` file; equal graphs give equal bytes."""

from __future__ import annotations

from typing import Any

from nibblefit_vitis.xir.graph import (
    Attribute,
    Attributes,
    Kind,
    XirGraph,
    XirOperator,
    XirSubgraph,
    XirTensor,
)
from nibblefit_vitis.xir.schema import Message, message_class


def encode(graph: XirGraph) -> bytes:
    """Return the file of a graph; without definitions of built-in operators."""
    message = message_class("Graph")(graph_name=graph.name)
    for operator in graph.operators:
        _fill_operator(message.op_node.add(), operator)
    if graph.root is not None:
        _fill_subgraph(message.subg_root, graph.root)
    _fill_attributes(message.graph_attr, graph.attributes)
    return bytes(message.SerializeToString(deterministic=True))


def _fill_operator(message: Message, operator: XirOperator) -> None:
    message.op_name, message.op_type = operator.name, operator.kind
    _fill_attributes(message.op_attr, operator.attributes)
    for name, operands in operator.arguments.items():
        message.args.add(arg_name=name, arg_ops=operands)
    _fill_tensor(message.output_tensor, operator.tensor)


def _fill_tensor(message: Message, tensor: XirTensor) -> None:
    message.tensor_name = tensor.name
    message.tensor_dim.extend(tensor.shape)
    message.data_type, message.tensor_bit_width = int(tensor.data_type), tensor.bits
    _fill_attributes(message.tensor_attr, tensor.attributes)


def _fill_subgraph(message: Message, subgraph: XirSubgraph) -> None:
    message.subgraph_name = subgraph.name
    message.op_name.extend(subgraph.operators)
    _fill_attributes(message.subg_attr, subgraph.attributes)
    for child in subgraph.children:
        _fill_subgraph(message.subg_child.add(), child)


def _fill_attributes(target: Any, attributes: Attributes) -> None:
    for name, attribute in attributes.items():
        _fill_attribute(target[name], attribute)


def _fill_attribute(message: Message, attribute: Attribute) -> None:
    name, value = attribute.kind.value, attribute.value
    if name.endswith(("_list", "_map")) or attribute.kind is Kind.BYTES:
        inner = getattr(message, name)
        inner.SetInParent()  # an empty list is a value too
        if name.endswith("_list_map"):
            for key, entries in value.items():
                inner.value[key].value.extend(entries)
        elif name.endswith("_map"):
            inner.value.update(value)
        elif attribute.kind is Kind.BYTES:
            inner.value = value
        else:
            inner.value.extend(value)
    else:
        setattr(message, name, value)

"""Names of the tensors of a QDQ file that our graph does not have."""

from __future__ import annotations


def raw_name(tensor: str) -> str:
    """Return the name of a tensor before it is rounded."""
    return f"{tensor}:raw"


def codes_name(tensor: str) -> str:
    """Return the name of a tensor's codes."""
    return f"{tensor}:codes"


def input_value_name(tensor: str) -> str:
    """Return the name of a rounded graph input; the input itself keeps its name."""
    return f"{tensor}:rounded"


def own_value_name(layer: str) -> str:
    """Return the name of what a layer reads in a format of its own."""
    return f"{layer}:input"


def own_codes_name(layer: str) -> str:
    """Return the name of the codes of what a layer reads in a format of its own."""
    return f"{layer}:input_codes"

"""Explain how a state dict and a network differ."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from nibblefit.errors import InputError
from nibblefit.ir.graph import Shape

_SHOWN = 12


def explain_mismatch(
    expected: Mapping[str, Shape], found: Mapping[str, Shape], *, network: str, weights: str
) -> None:
    """Compare names and shapes.

    Raises:
        InputError: They differ; lists missing, unexpected and misshapen entries.
    """
    lines = []
    surplus = [name for name in found if name not in expected]
    for name in expected:
        if name not in found:
            close = get_close_matches(name, surplus, n=1)
            near = f" (the file has '{close[0]}')" if close else ""
            lines.append(f"'{name}' is missing{near}")
        elif tuple(found[name]) != tuple(expected[name]):
            lines.append(
                f"'{name}' has shape {tuple(found[name])}; expected {tuple(expected[name])}"
            )
    for name in surplus:
        close = get_close_matches(name, expected, n=1)
        near = f" (did you mean '{close[0]}'?)" if close else ""
        lines.append(f"'{name}' is not in the network{near}")
    if not lines:
        return
    shown = lines[:_SHOWN]
    if len(lines) > _SHOWN:
        shown.append(f"and {len(lines) - _SHOWN} more")
    listed = "".join(f"\n  • {line}" for line in shown)
    raise InputError(
        f"the weights in {weights} do not fit network '{network}':{listed}",
        hint="use the state dict that belongs to this network and these model.arguments",
    )

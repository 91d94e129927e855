"""Explain how a state dict and a network differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from nibblefit.errors import InputError, did_you_mean, listed
from nibblefit.ir.graph import Shape

_SHOWN = 12
#: Names in a note before the rest is counted.
_NAMED = 6


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


def _matching(glob: str, names: Iterable[str]) -> list[str]:
    matching = [name for name in names if fnmatchcase(name, glob)]
    if not matching:
        raise InputError(
            f"model.fresh: '{glob}' matches no weight of the network; "
            f"{did_you_mean(glob.strip('*?.'), names)}"
        )
    return matching


def fitting_names(
    expected: Mapping[str, Shape], found: Mapping[str, Shape], *, network: str, weights: str,
    partly: list[str] | None, fresh: Sequence[str] = (), told: list[str] | None = None,
) -> list[str]:  # fmt: skip
    """Return the names whose tensors can be taken over.

    Args:
        expected: Names and shapes of the network.
        found: Names and shapes of the file.
        network: What to call the network.
        weights: What to call the file.
        partly: None demands that everything fits; else sentences about the rest are added here.
        fresh: Globs on names that are not taken over even if they fit.
        told: A sentence about `fresh` is added here.

    Raises:
        InputError: Something does not fit, or, partly, nothing does; or a glob matches nothing.
    """
    left = {name for glob in fresh for name in _matching(glob, expected)}
    if left and told is not None:
        told.append(f"{listed(sorted(left))} start anew, as model.fresh says")
    expected = {name: shape for name, shape in expected.items() if name not in left}
    found = {name: shape for name, shape in found.items() if name not in left}
    if partly is None:
        explain_mismatch(expected, found, network=network, weights=weights)
        return list(expected)
    fitting = [name for name in expected if tuple(found.get(name, ())) == tuple(expected[name])
               and name in found]  # fmt: skip
    if not fitting:
        explain_mismatch(expected, found, network=network, weights=weights)
    partly.append(f"{len(fitting)} of {len(expected)} tensors come from {weights}")
    partly.extend(
        f"{name} has shape {list(found[name])} in the file, {list(shape)} in the network"
        for name, shape in list(expected.items())
        if name in found and name not in fitting
    )
    anew = [name for name in expected if name not in fitting]
    unused = [name for name in found if name not in fitting]
    for words, names in (("start anew", anew), ("are not used", unused)):
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            partly.append(f"{', '.join(names[:_NAMED])}{more} {words}")
    return fitting

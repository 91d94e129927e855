"""The checks that limits in the tables name: what is found where a layer breaks one.

A check returns words such as ``kernel 3×3 with stride 3``, or nothing where the limit is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nibblefit_tidl.tables.checks import moving, operands, windows
from nibblefit_tidl.tables.site import Site

Check = Callable[..., str]


def always(site: Site) -> str:
    """Return the operator: it breaks the limit wherever it stands."""
    return site.node.op.value


CHECKS: Mapping[str, Check] = MappingProxyType(
    {"always": always, **windows.CHECKS, **operands.CHECKS, **moving.CHECKS}
)

"""Hypothesis strategies: number formats, codes, steps, and whole random quantized graphs.

For anybody who writes an execution of quantized graphs, or a transformation of them: draw an
`Example`, run it both ways, compare every tensor. Examples are legal (see `nibblefit.ir.legal`)
and full of borders: ties, extreme codes, tables, states, mixed widths and branches. Needs the
extra ``conformance``.
"""

from __future__ import annotations

from nibblefit.errors import MissingExtraError

try:
    import hypothesis  # noqa: F401
except ImportError as missing:
    raise MissingExtraError("drawing random graphs", "conformance") from missing

from nibblefit.conformance.random_graphs import Example, quantized_graphs
from nibblefit.conformance.random_steps import FILLS, codes, formats, roundings, step_tuples

__all__ = ["FILLS", "Example", "codes", "formats", "quantized_graphs", "roundings", "step_tuples"]

"""What a quantized graph remembers of its making, as JSON-like values in its metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit_vitis.alignment import Change
from nibblefit_vitis.formats import FixPosition, FloatScale, NetworkFormats, TensorFormat

#: Key of everything this target adds to a graph's metadata.
KEY = "vitis"
_TABLES = ("params", "outputs", "inputs")


def facts_of(
    formats: NetworkFormats, corrections: Mapping[str, npt.NDArray[np.float64]], *,
    changes: Iterable[Change], notes: Iterable[str], finetuned: bool, from_codes: bool,
) -> dict[str, Any]:  # fmt: skip
    """Return metadata for a graph.

    Args:
        formats: After alignment.
        corrections: What was subtracted from float biases.
        changes: What alignment moved.
        notes: What the user was told.
        finetuned: Whether weights were trained after calibration.
        from_codes: Whether weights are other than preparation gives, and known by their codes.
    """
    tables = {
        table: {name: _plain(found) for name, found in getattr(formats, table).items()}
        for table in _TABLES
    }
    return {
        KEY: {
            "formats": tables,
            "corrections": {name: values.tolist() for name, values in corrections.items()},
            "changes": [asdict(change) for change in changes],
            "notes": list(notes),
            "finetuned": finetuned,
            "from_codes": from_codes,
        }
    }


def recorded(graph: QuantizedGraph) -> Mapping[str, Any]:
    """Return what was remembered.

    Raises:
        InputError: The graph was not made by this target's quantize stage.
    """
    found = graph.metadata.get(KEY)
    if not isinstance(found, Mapping):
        raise InputError(
            f"graph '{graph.name}' does not say how it was quantized",
            hint="run the quantize stage of target vitis",
        )
    return found


def formats_in(facts: Mapping[str, Any]) -> NetworkFormats:
    """Return the formats that were remembered."""
    tables = facts["formats"]
    return NetworkFormats(
        *(frozen_mapping((name, _format(found)) for name, found in tables[table].items())
          for table in _TABLES)
    )  # fmt: skip


def corrections_in(facts: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float64]]:
    """Return the corrections of biases that were remembered."""
    return {name: np.array(values, np.float64) for name, values in facts["corrections"].items()}


def _plain(found: TensorFormat | None) -> dict[str, Any] | None:
    return None if found is None else {key: list(value) if isinstance(value, tuple) else value
                                       for key, value in asdict(found).items()}  # fmt: skip


def _format(stated: Mapping[str, Any] | None) -> TensorFormat | None:
    if stated is None:
        return None
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list | tuple) else value
        for key, value in stated.items()
    }
    return FixPosition(**fields) if "position" in fields else FloatScale(**fields)

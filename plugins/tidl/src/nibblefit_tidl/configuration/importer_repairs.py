"""What the TIDL-RT importer changes in silence, as data and as a function.

Source: TI's importer of 2025, validation of its configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nibblefit_tidl.configuration.importer_inputs import (
    SIGNED_8,
    SIGNED_16,
    UNSIGNED_8,
    UNSIGNED_16,
)
from nibblefit_tidl.configuration.importer_model import RtImport
from nibblefit_tidl.configuration.problems import Remark

_FEATURES = ("numFeatureBits", "num_feature_bits")
_WIDE = {UNSIGNED_8: UNSIGNED_16, SIGNED_8: SIGNED_16}


@dataclass(frozen=True, slots=True)
class Repair:
    """One value that the importer replaces without a word.

    Attributes:
        key: The key, in the vendor's spelling.
        field: Name of the field.
        was, becomes: Values before and after.
        cause: Key that makes the importer do so.
        reason: Why.
    """

    key: str
    field: str
    was: Any
    becomes: Any
    cause: str
    reason: str

    def remark(self) -> Remark:
        """Return the repair as a problem of the file."""
        was, becomes = (_shown(value) for value in (self.was, self.becomes))
        return Remark(
            self.cause, f"the importer would turn {self.key} = {was} into {becomes} in silence, "
            f"since {self.reason}", f"write {self.key} = {becomes} if that is what you want",
        )  # fmt: skip


def repairs_of(config: RtImport) -> tuple[Repair, ...]:
    """Return every silent repair, in the importer's order; later ones see earlier ones."""
    found: list[Repair] = []
    params, features = config.num_param_bits, config.num_feature_bits
    if params == 32 and features != 32:
        found.append(Repair(*_FEATURES, features, 32, "numParamBits",
                            "float weights (numParamBits 32) need float activations"))  # fmt: skip
        features = 32
    elif params > 8 and features <= 8:
        found.append(Repair(*_FEATURES, features, 16, "numParamBits",
                            f"weights of {params} bits need activations of 16"))  # fmt: skip
        features = 16
    elif features > 8 and params <= 8:
        found.append(Repair("numParamBits", "num_param_bits", params, 12, "numFeatureBits",
                            f"activations of {features} bits need weights above 8"))  # fmt: skip
    converts = bool(config.add_data_convert_to_net & 1)
    wide = tuple(_WIDE.get(element, element) for element in config.in_element_type)
    if features == 16 and not converts and wide != config.in_element_type:
        found.append(Repair(
            "inElementType", "in_element_type", config.in_element_type, wide,
            "numFeatureBits" if config.num_feature_bits == 16 else "numParamBits",
            "activations of 16 bits begin at the input where no data-convert layer stands there",
        ))  # fmt: skip
    return tuple(found)


def repaired(config: RtImport) -> RtImport:
    """Return the configuration that the importer would work with."""
    changes = {repair.field: repair.becomes for repair in repairs_of(config)}
    return config.model_copy(update=changes)


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)

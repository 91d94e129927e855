"""What decides formats and codes beside the network and its ranges."""

from __future__ import annotations

from dataclasses import dataclass, field

from nibblefit.ir.numerics import Numerics
from nibblefit_tidl.current.modes import Mode
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.current.precision import Precision


@dataclass(frozen=True, slots=True)
class CodeSettings:
    """Settings of an assignment.

    Attributes:
        mode: The quantization.
        precision: Widths.
        weight_range_method: ``median`` or ``histogram``.
        weight_range_shrink: Percent that ``histogram`` leaves out on each side.
    """

    mode: Mode
    precision: Precision = field(default_factory=Precision)
    weight_range_method: str = "median"
    weight_range_shrink: float = 0.01

    @property
    def numerics(self) -> Numerics:
        """The arithmetic."""
        return self.mode.numerics


def settings_of(mode: Mode, options: TidlOptions, precision: Precision) -> CodeSettings:
    """Return the settings that the options ask for."""
    return CodeSettings(mode, precision, options.weight_range_method, options.weight_range_shrink)

"""Formats that an ``xmodel`` can hold."""

from __future__ import annotations

from nibblefit.errors import UnsupportedError
from nibblefit_vitis.formats import FixPosition


def plain_position(form: object, what: str) -> FixPosition:
    """Return a format that an ``xmodel`` can hold: one signed power of two for the tensor.

    Raises:
        UnsupportedError: It is another one; `what` names the tensor.
    """
    if isinstance(form, FixPosition) and not form.positions and not form.unsigned:
        return form
    raise UnsupportedError(
        f"{what} is quantized with a float scale, per channel or unsigned; the DPU has one signed "
        "power of two per tensor", hint="quantize with target_device DPU to write an xmodel",
    )  # fmt: skip

"""From what a user calls a DPU to the DPU: boards, names, fingerprints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from nibblefit.errors import InputError, did_you_mean
from nibblefit_vitis.devices.dpu import Dpu
from nibblefit_vitis.devices.fingerprint import Fingerprint, parse, split
from nibblefit_vitis.devices.published import PUBLISHED
from nibblefit_vitis.devices.synthesis import synthesised

#: Boards → the DPU in AMD's images for Vitis AI 3.x. Source: board support of Vitis AI 3.0/3.5.
BOARDS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("kv260", "zcu102", "zcu104"), "DPUCZDX8G_ISA1_B4096")
)
#: Names whose limits follow from the fingerprint. Source: target definitions of Vitis AI 3.5.
_SYNTHESISED: Mapping[str, int] = MappingProxyType({
    "DPUCZDX8G_ISA1_B512": 0x0101000056010200,
    "DPUCZDX8G_ISA1_B800": 0x0101000056010201,
    "DPUCZDX8G_ISA1_B1024": 0x0101000056010402,
    "DPUCZDX8G_ISA1_B1152": 0x0101000056010203,
    "DPUCZDX8G_ISA1_B1600": 0x0101000056010404,
    "DPUCZDX8G_ISA1_B2304": 0x0101000056010405,
    "DPUCZDX8G_ISA1_B3136": 0x0101000056010406,
    "DPUCZDX8G_ISA1_B4096": 0x0101000056010407,
    "DPUCVDX8G_ISA3_C32B1": 0x0603000B56011811,
    "DPUCVDX8G_ISA3_C32B3": 0x0603000B56011831,
    "DPUCVDX8G_ISA3_C32B3_PSMNET": 0x0603000B16026831,
    "DPUCVDX8G_ISA3_C32B6": 0x0603000B56011861,
    "DPUCVDX8G_ISA3_C64B1": 0x0603000B56011812,
    "DPUCVDX8G_ISA3_C64B3": 0x0603000B56011832,
    "DPUCVDX8G_ISA3_C64B5": 0x0603000B56011852,
    "DPUCV2DX8G_ISA1_C20B1": 0x0901400044000144,
    "DPUCV2DX8G_ISA1_C20B14": 0x0901400044000E44,
})  # fmt: skip

#: Name → fingerprint, of every DPU that has a name.
FINGERPRINTS: Mapping[str, Fingerprint] = MappingProxyType({
    **{name: split(value) for name, value in _SYNTHESISED.items()},
    **{name: one.fingerprint for name, one in PUBLISHED.items()},
})  # fmt: skip


def dpu_named(text: str) -> Dpu:
    """Return the DPU of a board, name or fingerprint.

    Args:
        text: Such as ``kv260``, ``DPUCZDX8G_ISA1_B4096`` or ``0x101000056010407``.

    Raises:
        InputError: There is none, or nothing is published about the features of its family.
    """
    lower = text.lower()
    if lower.startswith("0x"):
        return dpu_of(parse(text))
    known = {name.lower(): name for name in FINGERPRINTS}
    name = known.get(BOARDS.get(lower, text).lower())
    if name is None:
        raise InputError(f"there is no DPU or board '{text[:60]}'",
                         hint=did_you_mean(text, [*BOARDS, *FINGERPRINTS]))  # fmt: skip
    if name in PUBLISHED:
        return PUBLISHED[name]
    return replace(dpu_of(FINGERPRINTS[name]), name=name)


def dpu_of(fingerprint: Fingerprint) -> Dpu:
    """Return the DPU of a fingerprint.

    Raises:
        InputError: Nothing is published about the features of its family.
    """
    name = name_of(fingerprint)
    if name in PUBLISHED:
        return PUBLISHED[name]
    found = synthesised(fingerprint)
    if found is None:
        raise InputError(
            f"fingerprint {fingerprint} is of {fingerprint.family}, instruction set "
            f"{fingerprint.isa}; the layout of its features is not known",
            hint="name the DPU instead, such as kv260 or DPUCZDX8G_ISA1_B4096",
        )
    if name:
        return replace(found, name=name)
    # The runtime adds the fingerprint to names that it makes up.
    return replace(found, name=f"{found.name}_{fingerprint.value:016X}")


def name_of(fingerprint: Fingerprint) -> str:
    """Return the name that has a fingerprint, empty if none has."""
    return next((name for name, one in FINGERPRINTS.items() if one == fingerprint), "")

"""``arch.json``: which DPU the compiler compiles for."""

from __future__ import annotations

import json
from dataclasses import dataclass

from nibblefit.errors import InputError
from nibblefit_vitis.devices.catalogue import dpu_named, name_of
from nibblefit_vitis.devices.fingerprint import Fingerprint, parse


@dataclass(frozen=True, slots=True)
class Arch:
    """A DPU as the compiler is told of it.

    Attributes:
        name: The compiler's name; empty where only the fingerprint is known.
        fingerprint: Must equal the board's.
    """

    name: str
    fingerprint: Fingerprint

    @property
    def hexadecimal(self) -> str:
        """The fingerprint as AMD's tools print it, without leading zeros."""
        return f"0x{self.fingerprint.value:x}"

    def text(self) -> str:
        """Return the file: the fingerprint, which every DPU has."""
        return json.dumps({"fingerprint": self.hexadecimal}) + "\n"


def arch_for(part: str, arch: str = "") -> Arch:
    """Return the DPU of a part, unless `arch` (a name or a fingerprint) says another one.

    Raises:
        InputError: There is none of that name, or the fingerprint is no number.
    """
    asked = arch or part
    if asked.lower().startswith("0x"):
        fingerprint = parse(asked)
        return Arch(name_of(fingerprint), fingerprint)
    found = dpu_named(asked)
    return Arch(found.name, found.fingerprint)


def stated_in(text: str, file: str) -> Fingerprint:
    """Return the fingerprint that an ``arch.json`` states, by number or by name.

    Raises:
        InputError: It states neither.
    """
    try:
        body = json.loads(text)
    except ValueError as problem:
        raise InputError(f"{file} is no JSON: {problem}",
                         hint='write {"fingerprint": "0x…"}') from problem  # fmt: skip
    stated = body if isinstance(body, dict) else {}
    for key in ("fingerprint", "target"):
        if isinstance(stated.get(key), str):
            return arch_for("", stated[key]).fingerprint
    raise InputError(f"{file} has neither fingerprint nor target",
                     hint='write {"fingerprint": "0x…"}')  # fmt: skip

"""Fingerprints: which DPU a compiled model is for, and how its features are coded.

Source: target factory of Vitis AI 3.5 (b2b2279).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from types import MappingProxyType

from nibblefit.errors import InputError

#: Type byte → family. Source: as above.
FAMILIES = MappingProxyType({
    1: "DPUCZDX8G", 2: "DPUCAHX8H", 3: "DPUCAHX8L", 4: "DPUCZDI4G", 5: "DPUCVDX8H",
    6: "DPUCVDX8G", 7: "DPUCADF8H", 8: "IPU_PHX", 9: "DPUCV2DX8G",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Family, instruction set and features in 64 bits.

    Attributes:
        kind: Type byte, the highest one.
        isa: Version of the instruction set, the byte below.
        features: The 48 bits below; their layout belongs to family and instruction set.
    """

    kind: int
    isa: int
    features: int

    @property
    def value(self) -> int:
        """All 64 bits."""
        return self.kind << 56 | self.isa << 48 | self.features

    @property
    def family(self) -> str:
        """Name of the family; of unknown type bytes, that byte."""
        return FAMILIES.get(self.kind, f"unknown family {self.kind:#04x}")

    def __str__(self) -> str:
        return f"{self.value:#018x}"


def split(value: int) -> Fingerprint:
    """Return the parts of 64 bits."""
    return Fingerprint(value >> 56 & 0xFF, value >> 48 & 0xFF, value & 0xFFFF_FFFF_FFFF)


def parse(text: str) -> Fingerprint:
    """Return the fingerprint written as ``0x…``.

    Raises:
        InputError: It is no hexadecimal number, or has more than 64 bits.
    """
    try:
        value = int(text, 16) if text.lower().startswith("0x") else -1
    except ValueError:
        value = -1
    if not 0 <= value < 2**64:
        raise InputError(f"'{text[:40]}' is no fingerprint",
                         hint="write 64 bits as 0x and hexadecimal digits, such as "
                         "0x101000056010407; xdputil query prints the board's")  # fmt: skip
    return split(value)


#: Field of `Features` → (lowest bit, bits).
_PLACES = MappingProxyType({
    "architecture": (0, 4), "alu_pixels": (8, 4), "image_banks": (24, 2), "augmentation": (26, 1),
    "mean_subtraction": (27, 1), "leaky_relu": (28, 1), "depthwise_leaky_relu": (29, 1),
    "argmax": (30, 1), "weight_parallelism": (32, 2), "alu_weight_parallelism": (34, 2),
})  # fmt: skip
_KNOWN = sum(((1 << bits) - 1) << low for low, bits in _PLACES.values())


@dataclass(frozen=True, slots=True)
class Features:
    """The feature code of DPUCZDX8G, instruction set 1; the same bits mean the same in DPUCVDX8G.

    Attributes:
        architecture: Index of the size, 0 (B512) to 7 (B4096), 8 to 11 smaller ones.
        alu_pixels: Pixels that the ALU computes at once.
        image_banks: Groups of image banks.
        augmentation: Twice the channels for first layers.
        mean_subtraction: While loading.
        leaky_relu, depthwise_leaky_relu: Behind convolutions, behind depthwise ones.
        argmax: While saving.
        weight_parallelism, alu_weight_parallelism: Weights read at once, as a power of two.
        rest: All other bits, in place.
    """

    architecture: int
    alu_pixels: int
    image_banks: int
    augmentation: int
    mean_subtraction: int
    leaky_relu: int
    depthwise_leaky_relu: int
    argmax: int
    weight_parallelism: int
    alu_weight_parallelism: int
    rest: int = 0

    @property
    def code(self) -> int:
        """The 48 bits."""
        found: int = self.rest
        for name, (low, _) in _PLACES.items():
            found |= getattr(self, name) << low
        return found


def features(code: int) -> Features:
    """Return the fields of a feature code."""
    found = {name: code >> low & (1 << bits) - 1 for name, (low, bits) in _PLACES.items()}
    return Features(**found, rest=code & ~_KNOWN)


def explained(code: int) -> dict[str, int]:
    """Return the fields of a feature code by name, for tables."""
    found = features(code)
    return {field.name: getattr(found, field.name) for field in fields(Features)}

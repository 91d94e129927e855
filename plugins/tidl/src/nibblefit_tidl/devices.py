"""The devices of both generations and their limits, as data with sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from nibblefit.errors import RecipeError

_USER_GUIDE = "TIDL-RT user guide: devices and supported quantization styles"
_IMPORTER = "TIDL importer (2025), validation of inferenceMode and numCores"
_DATA_SHEET = "TI data sheet: number of cores"
_LINUX_SDK = "AM57xx Processor SDK Linux 6.x, TIDL chapter"
_OPERATORS = "edgeai-tidl-tools 11_00_06_00, supported operators"


@dataclass(frozen=True, slots=True)
class Device:
    """One device of the current generation: a C7x DSP with matrix accelerator (MMA).

    Attributes:
        name: Name in recipes.
        soc: TI's name of the silicon, as tools and downloads are called.
        aliases: Other product names of the same silicon.
        mma: Version of the matrix accelerator.
        cores: C7x-MMA cores that one network can use.
        asymmetric: Activations may have zero points (and then weights one scale per channel).
        per_channel: Weights may have one scale per output channel.
        wide_deconvolution: Transposed convolutions may have 16-bit data.
        table_functions: Sigmoid, tanh and their like are accelerated by tables.
        sources: Field name → where its value comes from.
    """

    name: str
    soc: str
    aliases: tuple[str, ...]
    mma: int
    cores: int
    asymmetric: bool
    per_channel: bool
    wide_deconvolution: bool = True
    table_functions: bool = True
    sources: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType(
            {
                "mma": _USER_GUIDE,
                "asymmetric": _USER_GUIDE,
                "per_channel": _USER_GUIDE,
                "cores": f"{_DATA_SHEET}; {_IMPORTER}",
                "wide_deconvolution": _OPERATORS,
                "table_functions": _OPERATORS,
            }
        )
    )

    @property
    def narrow_bias(self) -> bool:
        """Whether 8-bit layers carry biases as a product of two bytes (MMAv1)."""
        return self.mma == 1


@dataclass(frozen=True, slots=True)
class ClassicDevice:
    """One device of the classic generation.

    Attributes:
        name: Name in recipes.
        eves: EVE vector cores.
        dsps: C66x DSP cores.
        input_channels: Largest number of input channels of a network.
        outputs: Largest number of output tensors.
        cmem_mebibytes_per_eve: Contiguous memory that each EVE in use takes, lower and upper.
        sources: Field name → where its value comes from.
    """

    name: str
    eves: int
    dsps: int
    input_channels: int = 1024
    outputs: int = 1
    cmem_mebibytes_per_eve: tuple[int, int] = (56, 64)
    sources: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType(
            {
                "eves": _DATA_SHEET,
                "dsps": _DATA_SHEET,
                "input_channels": "classic TIDL importer, range of inNumChannels",
                "outputs": "TIDL user guide for TDA2x: one output tensor",
                "cmem_mebibytes_per_eve": _LINUX_SDK,
            }
        )
    )


TDA4VM = Device("tda4vm", "J721E", ("am68pa",), 1, 1, asymmetric=False, per_channel=False)
AM68A = Device("am68a", "J721S2", ("tda4al", "tda4vl"), 2, 1, asymmetric=True, per_channel=True)
AM69A = Device(
    "am69a", "J784S4", ("tda4vh", "tda4ap", "tda4vp"), 2, 4, asymmetric=True, per_channel=True
)
AM67A = Device(
    "am67a", "J722S", (), 2, 2, asymmetric=True, per_channel=True, wide_deconvolution=False
)
AM62A = Device(
    "am62a", "AM62A", (), 2, 1, asymmetric=True, per_channel=True,
    wide_deconvolution=False, table_functions=False,
)  # fmt: skip

AM5749 = ClassicDevice("am5749", eves=2, dsps=2)
AM5729 = ClassicDevice("am5729", eves=4, dsps=2)
TDA2X = ClassicDevice("tda2x", eves=4, dsps=2)
TDA3X = ClassicDevice("tda3x", eves=1, dsps=2)

#: By name; the first is the default.
DEVICES: Mapping[str, Device] = MappingProxyType(
    {device.name: device for device in (TDA4VM, AM68A, AM69A, AM67A, AM62A)}
)
CLASSIC_DEVICES: Mapping[str, ClassicDevice] = MappingProxyType(
    {device.name: device for device in (AM5749, AM5729, TDA2X, TDA3X)}
)


def device_named(name: str) -> Device:
    """Return a device of the current generation; empty is the first one.

    Product names, aliases and names of the silicon are known, in any case.

    Raises:
        RecipeError: There is no such device.
    """
    wanted = name.lower() or TDA4VM.name
    for device in DEVICES.values():
        if wanted in {device.name, device.soc.lower(), *device.aliases}:
            return device
    raise RecipeError(
        f"target 'tidl' has no part '{name}'",
        hint=f"use one of: {', '.join(DEVICES)} ({_classic_note(wanted)})",
    )


def classic_device_named(name: str) -> ClassicDevice:
    """Return a device of the classic generation; empty is the first one.

    Raises:
        RecipeError: There is no such device.
    """
    wanted = name.lower() or AM5749.name
    if wanted in CLASSIC_DEVICES:
        return CLASSIC_DEVICES[wanted]
    raise RecipeError(
        f"target 'tidl-classic' has no part '{name}'",
        hint=f"use one of: {', '.join(CLASSIC_DEVICES)}; devices with C7x are target 'tidl'",
    )


def _classic_note(wanted: str) -> str:
    if wanted.startswith("am62"):
        return "AM62 without A has no accelerator"
    return "AM57xx, TDA2x and TDA3x are target 'tidl-classic'"

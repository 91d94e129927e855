"""What normalizing pixels costs, on the host and on the accelerator.

An estimate, not a measurement: it counts the bytes that go through external memory and the host's
cycles per value. Clocks, bandwidths, and how much of these a core gets are assumptions, stated here
and in what is reported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nibblefit.errors import RecipeError
from nibblefit.ir.graph import Shape
from nibblefit.results import Table
from nibblefit_tidl.devices import ClassicDevice, Device
from nibblefit_tidl.front.numbers import Where


@dataclass(frozen=True, slots=True)
class Host:
    """What the estimate takes the host for.

    Attributes:
        clock_ghz: Clock of one Arm core, the fastest grade.
        bandwidth_gb_s: Peak bandwidth of external memory: width of the interface times its rate.
    """

    clock_ghz: float
    bandwidth_gb_s: float

    def __post_init__(self) -> None:
        if not (0 < self.clock_ghz < 100 and 0 < self.bandwidth_gb_s < 10_000):
            raise RecipeError(
                f"a host of {self.clock_ghz:g} GHz and {self.bandwidth_gb_s:g} GB/s is none",
                hint="give the clock in GHz and the memory's bandwidth in GB/s, above 0",
            )


def ddr(bits: int, transfers: float, *, interfaces: int = 1) -> float:
    """Return GB/s of memory interfaces: bits wide, millions of transfers a second."""
    return interfaces * bits / 8 * transfers / 1e3


#: Device → its host: the fastest grade with the widest memory. Assumptions, neither measured nor
#: quoted from a document; a board may have less. `Host` and the options --host-clock and
#: --memory-bandwidth of `nibblefit tidl front` take a board's own figures.
HOSTS: Mapping[str, Host] = MappingProxyType({
    "tda4vm": Host(2.0, ddr(32, 3733)),  # 2 x Cortex-A72; LPDDR4-3733
    "am68a": Host(2.0, ddr(32, 4266, interfaces=2)),  # 2 x Cortex-A72; LPDDR4-4266
    "am69a": Host(2.0, ddr(32, 4266, interfaces=4)),  # 8 x Cortex-A72; LPDDR4-4266
    "am67a": Host(1.4, ddr(32, 4000)),  # 4 x Cortex-A53; LPDDR4-4000
    "am62a": Host(1.4, ddr(32, 3733)),  # 4 x Cortex-A53; LPDDR4-3733
    "am5749": Host(1.5, ddr(32, 1066, interfaces=2)),  # 2 x Cortex-A15; DDR3-1066
    "am5729": Host(1.5, ddr(32, 1066, interfaces=2)),  # 2 x Cortex-A15; DDR3-1066
    "tda2x": Host(1.0, ddr(32, 1066, interfaces=2)),  # 2 x Cortex-A15; DDR3-1066
    "tda3x": Host(0.212, ddr(32, 1066)),  # 2 x Cortex-M4, no Cortex-A; DDR3-1066
})  # fmt: skip
#: Cycles per value of a scalar loop: load, convert, subtract, multiply, store. Assumed.
HOST_CYCLES = 5.0
#: Share of the memory's bandwidth that one core streams with. Assumed.
STREAMED = 0.5
_PIXEL, _FLOAT = 1, 4


@dataclass(frozen=True, slots=True)
class FrontCost:
    """Cost of one frame's normalization.

    Attributes:
        where: Who computes.
        host_ms: Time of the host processor.
        accelerator_ms: Time that the accelerator's transfers take.
        host_bytes: Bytes that the host reads and writes.
        accelerator_bytes: Bytes that the accelerator reads and writes, the input itself included.
    """

    where: str
    host_ms: float
    accelerator_ms: float
    host_bytes: int
    accelerator_bytes: int


def host_of(device: Device | ClassicDevice) -> Host:
    """Return what a device's host is assumed to be."""
    return HOSTS[device.name]


def front_costs(shape: Shape, device: Device | ClassicDevice, *, padding: int = 0,
                host: Host | None = None) -> tuple[FrontCost, ...]:  # fmt: skip
    """Return the cost of every way to normalize one frame.

    Args:
        shape: Input (channels, height, width).
        device: The device.
        padding: Pixels on each side that a pad layer of the mean adds; 0: no such layer.
        host: Figures of a board; unset: those assumed for the device.

    Raises:
        RecipeError: The shape is no image.
    """
    if len(shape) != 3 or min(shape) < 1 or padding < 0:
        raise RecipeError(f"input shape {shape} with padding {padding} is no image",
                          hint="give channels, height, width")  # fmt: skip
    values = math.prod(shape)
    padded = shape[0] * (shape[1] + 2 * padding) * (shape[2] + 2 * padding)
    host = host or host_of(device)
    clock, bandwidth = host.clock_ghz, host.bandwidth_gb_s
    # On the host: read pixels, write floats; the accelerator's input layer makes bytes of them.
    host_bytes = values * (_PIXEL + _FLOAT)
    counted = {
        Where.HOST: (values, host_bytes, values * (_FLOAT + 2 * _PIXEL)),
        Where.CONVERT: (0, 0, values * 3 * _PIXEL),
        Where.FOLD: (0, 0, values * _PIXEL + (2 * padded * _PIXEL if padding else 0)),
    }
    return tuple(
        FrontCost(
            where.value,
            max(count * HOST_CYCLES / clock / 1e6, read / (STREAMED * bandwidth) / 1e6),
            moved / (STREAMED * bandwidth) / 1e6,
            read,
            moved,
        )
        for where, (count, read, moved) in counted.items()
    )


def cost_table(costs: tuple[FrontCost, ...]) -> Table:
    """Return costs as a table."""
    rows = tuple(
        (cost.where, round(cost.host_ms, 3), round(cost.accelerator_ms, 3), cost.host_bytes,
         cost.accelerator_bytes)
        for cost in costs
    )  # fmt: skip
    columns = ("normalized", "host ms", "accelerator ms", "host bytes", "accelerator bytes")
    return Table("Cost of normalizing one frame (estimated)", columns, rows)

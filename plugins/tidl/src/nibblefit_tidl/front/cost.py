"""What normalizing pixels costs, on the host and on the accelerator.

An estimate, not a measurement: it counts the bytes that go through external memory and the host's
cycles per value. Bandwidths are those of the memory interface; how much of it a core gets is
assumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nibblefit.errors import RecipeError
from nibblefit.ir.graph import Shape
from nibblefit.results import Table
from nibblefit_tidl.devices import Device
from nibblefit_tidl.front.numbers import Where

#: Silicon → (clock of the Arm cores in GHz, bandwidth of external memory in GB/s).
#: Source: TI data sheets (clock of A72 and A53; LPDDR4 width times rate).
HOSTS = {
    "J721E": (2.0, 14.9),
    "J721S2": (2.0, 34.1),
    "J784S4": (2.0, 68.3),
    "J722S": (1.4, 16.0),
    "AM62A": (1.4, 14.9),
}
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


def front_costs(shape: Shape, device: Device, *, padding: int = 0) -> tuple[FrontCost, ...]:
    """Return the cost of every way to normalize one frame.

    Args:
        shape: Input (channels, height, width).
        device: The device.
        padding: Pixels on each side that a pad layer of the mean adds; 0: no such layer.

    Raises:
        RecipeError: The shape is no image.
    """
    if len(shape) != 3 or min(shape) < 1 or padding < 0:
        raise RecipeError(f"input shape {shape} with padding {padding} is no image",
                          hint="give channels, height, width")  # fmt: skip
    values = math.prod(shape)
    padded = shape[0] * (shape[1] + 2 * padding) * (shape[2] + 2 * padding)
    clock, bandwidth = HOSTS[device.soc]
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

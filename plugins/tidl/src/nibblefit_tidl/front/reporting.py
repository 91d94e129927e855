"""What normalizing a frame costs, in inspections and evaluations."""

from __future__ import annotations

from dataclasses import replace

from nibblefit.ir.graph import Shape
from nibblefit.results import Finding, Report, Status
from nibblefit.run import Run
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.devices import ClassicDevice, Device, classic_device_named, device_named
from nibblefit_tidl.front.cost import FrontCost, cost_table, front_costs, host_of
from nibblefit_tidl.front.numbers import Where
from nibblefit_tidl.front.options import FrontOptions
from nibblefit_tidl.front.stage import where_of

RULE = "tidl.front"


def with_front(report: Report, run: Run) -> Report:
    """Return an evaluation with the cost of normalizing a frame of the run's data."""
    classic = isinstance(run.options, ClassicOptions)
    device = classic_device_named(run.part) if classic else device_named(run.part)
    return with_front_cost(report, tuple(run.data.input_shape), device, run.options)


def with_front_cost(report: Report, shape: Shape, device: Device | ClassicDevice,
                    options: FrontOptions) -> Report:  # fmt: skip
    """Return a report with the cost of normalizing one frame; as it is where inputs are no images.

    Args:
        report: What is known so far.
        shape: Shape of the network's input.
        device: The device.
        options: They say who normalizes.
    """
    if len(shape) != 3 or min(shape) < 1:
        return report
    costs = front_costs(shape, device, padding=int(options.front_border == "pad"))
    chosen = where_of(options)
    finding = Finding(RULE, Status.PASSED, _message(costs, chosen, device))
    return replace(report, tables=(*report.tables, cost_table(costs)),
                   findings=(*report.findings, finding))  # fmt: skip


def _message(costs: tuple[FrontCost, ...], chosen: Where, device: Device | ClassicDevice) -> str:
    cost = next(one for one in costs if one.where == chosen.value)
    host = host_of(device)
    text = (
        f"normalizing a frame ({chosen.value}) takes about {cost.host_ms:.3g} ms of the host and "
        f"{cost.accelerator_ms:.3g} ms of the accelerator; assumed: one Arm core at "
        f"{host.clock_ghz:g} GHz, {host.bandwidth_gb_s:g} GB/s of external memory"
    )
    if chosen is Where.HOST:
        least = min(costs, key=lambda one: one.host_ms + one.accelerator_ms)
        text += f'; target.front = "folded" takes {least.accelerator_ms:.3g} ms in all'
    return text

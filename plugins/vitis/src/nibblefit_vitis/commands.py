"""``nibblefit vitis …``: the commands of this target, each from the folder it belongs to."""

from __future__ import annotations

import typer

from nibblefit_vitis.configuration import command as configuration
from nibblefit_vitis.inspection import command as inspection
from nibblefit_vitis.writing import command as writing
from nibblefit_vitis.xir import command as xir


def add_commands(app: typer.Typer) -> None:
    """Register the commands; each folder adds its own."""
    configuration.add(app)
    inspection.add(app)
    writing.add(app)
    xir.add(app)

"""The values that steps hand over through the disk, and which store keeps each kind."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from nibblefit.errors import WorkspaceError
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.results import Artifact, Report

Value: TypeAlias = Model | QuantizedGraph | Artifact | Report


class Kind(StrEnum):
    """Kinds of value a step can end in."""

    MODEL = "model"
    QUANTIZED = "quantized"
    ARTIFACT = "artifact"
    REPORT = "report"


def kind_of(value: Value) -> Kind:
    """Return the kind of a value."""
    match value:
        case Model():
            return Kind.MODEL
        case QuantizedGraph():
            return Kind.QUANTIZED
        case Artifact():
            return Kind.ARTIFACT
        case Report():
            return Kind.REPORT


def save_value(value: Value, folder: Path) -> None:
    """Write a value into an empty folder, byte for byte the same for equal values."""
    from nibblefit.ir.store import save_quantized
    from nibblefit.model_store import save_model
    from nibblefit.results_store import save_artifact, save_report

    folder.mkdir(parents=True, exist_ok=True)
    match value:
        case Model():
            save_model(value, folder)
        case QuantizedGraph():
            save_quantized(value, folder)
        case Artifact():
            save_artifact(value, folder)
        case Report():
            save_report(value, folder / "report.json")


def load_value(kind: str, folder: Path) -> Value:
    """Return the value that `save_value` wrote."""
    from nibblefit.ir.store import load_quantized
    from nibblefit.model_store import load_model
    from nibblefit.results_store import load_artifact, load_report

    match kind:
        case Kind.MODEL:
            return load_model(folder)
        case Kind.QUANTIZED:
            return load_quantized(folder)
        case Kind.ARTIFACT:
            return load_artifact(folder)
        case Kind.REPORT:
            return load_report(folder / "report.json")
    raise WorkspaceError(f"{folder} holds a value of the unknown kind '{kind}'")

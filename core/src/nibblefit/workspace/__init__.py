"""The run folder: layout, manifests, content keys, locking, and opening a run again."""

from nibblefit.workspace.fingerprint import (
    calibration_files,
    data_files,
    named_files,
    network_files,
    teacher_files,
)
from nibblefit.workspace.folder import Place, RunFolder, StepFolder
from nibblefit.workspace.journal import Journal
from nibblefit.workspace.lock import RunLock
from nibblefit.workspace.manifest import Manifest, changes, damage
from nibblefit.workspace.opened import SOURCE, OpenRun, open_run
from nibblefit.workspace.storage import is_out_of_space, storage_error
from nibblefit.workspace.values import Kind, Value, kind_of

__all__ = [
    "SOURCE",
    "Journal",
    "Kind",
    "Manifest",
    "OpenRun",
    "Place",
    "RunFolder",
    "RunLock",
    "StepFolder",
    "Value",
    "calibration_files",
    "changes",
    "damage",
    "data_files",
    "is_out_of_space",
    "kind_of",
    "named_files",
    "network_files",
    "open_run",
    "storage_error",
    "teacher_files",
]

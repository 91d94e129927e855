"""Files that the original recorded for its small network."""

from __future__ import annotations

from pathlib import Path

#: Folders with a quant_info.json of the same network.
CASES = (
    "case_small/dpu_default", "case_small/dpu_nocle_nobc", "case_small/dpu_nocle_bc",
    "case_small/dpu_cle_nobc", "case_small/dpu_align", "case_small/dpu_maxmin_cfg", "xmodel",
    "onnx_export_small",
)  # fmt: skip


def keeps_relu6(case: str) -> bool:
    """Return whether the original kept ReLU6, as it does without equalization."""
    return "nocle" in case


def recorded_file(folder: Path, case: str) -> Path:
    """Return the quant_info.json of a case."""
    return folder / case / "quant_info.json"

"""What happens to a float network before it is calibrated: rewrites that suit the DPU."""

from __future__ import annotations

from nibblefit_vitis.preparation.prepare import Prepared, prepare_graph

__all__ = ["Prepared", "prepare_graph"]

"""Fast finetune: layer by layer, rounded weights are trained to give the float layer's output."""

from __future__ import annotations

from nibblefit_vitis.finetune.finetune import fast_finetune, layer_count
from nibblefit_vitis.finetune.layer import FinetuneSettings

__all__ = ["FinetuneSettings", "fast_finetune", "layer_count"]

"""Switching a model of fused layers between float and the chip's arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from nibblefit.errors import RecipeError, did_you_mean
from nibblefit_maxim.library.classes import EltwiseLayer
from nibblefit_maxim.library.layer import FusedLayer, Mode
from nibblefit_maxim.options import BATCH_NORM_FACTOR, Generation
from nibblefit_maxim.settings import made_settings, setting_problems


def fused_layers(model: nn.Module) -> dict[str, FusedLayer]:
    """Return the fused layers of a model by module path."""
    return {path: m for path, m in model.named_modules() if isinstance(m, FusedLayer)}


def set_generation(model: nn.Module, generation: Generation) -> None:
    """Choose how a model computes before QAT: v1 clips everything to ±1, v2 is plain float."""
    _set_mode(model, Mode.CLAMPED if generation == "v1" else Mode.PLAIN)


def start_qat(
    model: nn.Module,
    *,
    weight_bits: int | str = 8,
    shift_quantile: float = 1.0,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    generation: Generation = "v2",
    vendor_abs: bool = False,
) -> None:
    """Fold batch norm and switch every fused layer of a model to the chip's arithmetic.

    Parameters are replaced, so the optimizer must be built anew. Activation thresholds stay zero
    here; a run (``nibblefit run``) measures them.

    Args:
        model: Changed in place.
        weight_bits: 8, 4, 2, 1 or ``binary``.
        shift_quantile: Share of a layer's weights that its scale must hold.
        overrides: Module path or glob → ``weight_bits``, ``shift_quantile``.
        generation: ``v1`` folds a quarter of the batch norm in, as the vendor's older training.
        vendor_abs: Round behind Abs, as the vendor's training does; the chip rounds before it.

    Raises:
        RecipeError: Overrides that match no layer, and values that do not exist.
    """
    layers = fused_layers(model)
    general = {"weight_bits": weight_bits, "shift_quantile": shift_quantile}
    chosen: dict[str, dict[str, Any]] = {path: dict(general) for path in layers}
    problems = setting_problems(general)
    for pattern, values in (overrides or {}).items():
        matched = [path for path in layers if fnmatchcase(path, pattern)]
        if not matched:
            hint = did_you_mean(pattern, layers)
            problems.append(f"overrides: '{pattern}' matches no fused layer; {hint}")
        problems += [f"overrides.'{pattern}': {text}" for text in setting_problems(values)]
        for path in matched:
            chosen[path].update(values)
    if problems:
        raise RecipeError("quantized training cannot start", problems=problems)
    fold_batch_norm(model, generation)
    for path, layer in layers.items():
        layer.settings = made_settings(chosen[path])
        layer.magnitude_first = vendor_abs
    _set_mode(model, Mode.QUANTIZED)


def fold_batch_norm(model: nn.Module, generation: Generation = "v2") -> None:
    """Fold the batch norms of all fused layers; in float64, rounded to float32 once.

    Generation v1 folds a quarter, because its layers compute bn(x) / 4.
    """
    for layer in fused_layers(model).values():
        if layer.bn is not None:
            _fold(layer, BATCH_NORM_FACTOR[generation])


@torch.no_grad()
def _fold(layer: FusedLayer, factor: float) -> None:
    bn: Any = layer.bn
    op: Any = layer.op
    ones = torch.ones_like(bn.running_var)
    gamma, beta = (ones, ones * 0) if bn.weight is None else (bn.weight, bn.bias)
    scale = gamma.double() * (bn.running_var.double() + bn.eps).rsqrt() * factor
    bias = (op.bias.double() - bn.running_mean.double()) * scale + beta.double() * factor
    op.weight = nn.Parameter(_per_output(layer, op.weight.double(), scale).to(op.weight.dtype))
    op.bias = nn.Parameter(bias.to(op.bias.dtype))
    layer.bn = None


def _per_output(layer: FusedLayer, weights: Tensor, scale: Tensor) -> Tensor:
    transposed = layer.form.operator == "convtranspose2d" and not layer.form.depthwise
    ones = (1,) * (weights.dim() - 2)
    return weights * (scale.reshape(1, -1, *ones) if transposed else scale.reshape(-1, 1, *ones))


def _set_mode(model: nn.Module, mode: Mode) -> None:
    for module in model.modules():
        if isinstance(module, FusedLayer | EltwiseLayer):
            module.mode = mode

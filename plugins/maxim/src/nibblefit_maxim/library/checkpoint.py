"""Vendor training checkpoints into models of fused layers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nibblefit.errors import InputError, did_you_mean
from nibblefit_maxim.library.modes import fused_layers
from nibblefit_maxim.options import BATCH_NORM_FACTOR
from nibblefit_maxim.reading.checkpoint import checkpoint_content, state_of
from nibblefit_maxim.settings import LayerSettings

#: What the vendor's modules keep beside parameters; read where we need it, else left alone.
_FACTS = (
    "output_shift", "weight_bits", "bias_bits", "quantize_activation", "adjust_output_shift",
    "shift_quantile", "activation_threshold", "final_scale", "clamp_activation",
)  # fmt: skip


def load_vendor_checkpoint(model: nn.Module, path: str | Path) -> dict[str, dict[str, Any]]:
    """Load a checkpoint of the vendor's training into a model of fused layers.

    Both generations, before or behind QAT. Batch norm of generation 1, which its layers divide by
    four, arrives divided; activation thresholds of generation 2 move into weights and biases, so
    the model computes the same, in the units of the chip's data. What the last layers of generation
    2 multiply their results by (``final_scale``) is host software's task: a quantized model applies
    it, a plain one, which is what is captured for the chip, does not. Batch norms that the
    checkpoint has folded already are removed from the model.

    Args:
        model: Layers registered under the checkpoint's names; changed in place.
        path: A ``.pth.tar`` with tensors only.

    Returns:
        ``weight_bits`` and ``shift_quantile`` by layer, ready for ``[quantize.layers]``.

    Raises:
        InputError: The file cannot be read, or its names or shapes differ from the model's.
    """
    path = Path(path)
    state = _state(path)
    layers = fused_layers(model)
    is_second = any(key.endswith("activation_threshold") for key in state)
    wanted: dict[str, Tensor] = {}
    found: dict[str, dict[str, Any]] = {}
    for name, layer in layers.items():
        own = {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}
        if layer.bn is not None and not any(key.startswith("bn.") for key in own):
            layer.bn = None
        norm: Any = layer.bn
        eps = 0.0 if norm is None else float(norm.eps)
        moved = _moved(own, eps, is_second=is_second)
        wanted.update({f"{name}.{key}": value for key, value in moved.items()})
        if layer.op is not None:
            layer.settings = _settings(own)
            layer.final_scale = round(_number(own, "final_scale"))
            settings = layer.settings
            found[name] = {
                "weight_bits": settings.width, "shift_quantile": settings.shift_quantile,
            }  # fmt: skip
    others = {k: v for k, v in state.items() if not any(k.startswith(f"{n}.") for n in layers)}
    wanted.update({k: v for k, v in others.items() if k.rpartition(".")[2] not in _FACTS})
    _load(model, wanted, path)
    return found


def _settings(own: Mapping[str, Tensor]) -> LayerSettings:
    bits = round(_number(own, "weight_bits", 8.0))
    # Stored as float32: 0.985 comes back as 0.98500001.
    return LayerSettings(bits or 8, round(_number(own, "shift_quantile", 1.0), 6))


def _number(own: Mapping[str, Tensor], key: str, otherwise: float = 0.0) -> float:
    return float(own[key]) if key in own else otherwise


def _moved(own: Mapping[str, Tensor], eps: float, *, is_second: bool) -> dict[str, Tensor]:
    """Return a layer's parameters as our layers mean them."""
    kept = {key: value for key, value in own.items() if key not in _FACTS}
    factor = 2.0 ** -_number(own, "activation_threshold")
    for key in ("op.weight", "op.bias"):
        if key in kept and factor != 1.0:
            kept[key] = kept[key] * factor
    if not is_second:
        for key in ("bn.weight", "bn.bias"):
            if key in kept:
                kept[key] = kept[key] * BATCH_NORM_FACTOR["v1"]
        if "bn.running_var" in kept and "bn.weight" not in kept:
            # Without a factor of its own the norm takes the quarter through its variance.
            wider = BATCH_NORM_FACTOR["v1"] ** -2
            kept["bn.running_var"] = (kept["bn.running_var"] + eps) * wider - eps
    return kept


def _state(path: Path) -> dict[str, Tensor]:
    state = state_of(checkpoint_content(path), path)
    # Data-parallel training puts this before every name.
    return {str(k).removeprefix("module."): v for k, v in state.items()}


def _load(model: nn.Module, wanted: Mapping[str, Tensor], path: Path) -> None:
    own = model.state_dict()
    problems = [f"'{key}' is missing; {did_you_mean(key, wanted)}" for key in own
                if key not in wanted and not key.endswith("num_batches_tracked")]  # fmt: skip
    problems += [f"'{key}' is not in the model; {did_you_mean(key, own)}"
                 for key in wanted if key not in own]  # fmt: skip
    problems += [
        f"'{key}' is {tuple(value.shape)}; the model's is {tuple(own[key].shape)}"
        for key, value in wanted.items()
        if key in own and value.shape != own[key].shape
    ]
    if problems:
        lines = "".join(f"\n  • {text}" for text in problems)
        raise InputError(
            f"{path.name} does not fit the model{lines}",
            hint="give the model's layers the names of the checkpoint's modules",
        )
    model.load_state_dict({**own, **wanted})

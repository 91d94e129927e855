"""The integer checkpoint: tensors only, in execution order, under the vendor's keys.

Per layer L: ``L.output_shift``, ``L.weight_bits``, ``L.bias_bits``, ``L.quantize_activation``,
``L.adjust_output_shift``, ``L.shift_quantile``, ``L.activation_threshold``, ``L.op.weight`` and
``L.op.bias``. Weights are stored as their codes, biases times 2^(weight bits − 1), all in float32.
Source: ai8x-training commit c3d4eb1, `ai8x.py`, and ai8x-synthesis commit ab4f4c0, `quantize.py`.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from nibblefit_maxim.layers import IntegerLayer
from nibblefit_maxim.scales import BINARY_BIAS_BITS


def checkpoint_bytes(
    items: Sequence[IntegerLayer],
    names: Mapping[str, str],
    quantiles: Mapping[str, float],
    arch: str,
) -> bytes:
    """Return the file's bytes; the same layers give the same bytes."""
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    for item in items:
        if item.weights is not None:
            quantile = quantiles.get(item.layer.name, 1.0)
            state.update(_layer(item, names[item.layer.name], quantile))
    # Into memory, because the archive would otherwise carry the file's name.
    buffer = io.BytesIO()
    torch.save({"epoch": 0, "state_dict": state, "arch": arch}, buffer)
    return buffer.getvalue()


def _layer(item: IntegerLayer, name: str, quantile: float) -> dict[str, torch.Tensor]:
    def one(value: float) -> torch.Tensor:
        return torch.tensor([value], dtype=torch.float32)

    weights = np.asarray(item.weights, dtype=np.float32)
    state = {
        f"{name}.output_shift": one(item.output_shift),
        f"{name}.weight_bits": one(item.weight_bits),
        f"{name}.bias_bits": one(BINARY_BIAS_BITS if item.is_binary else item.weight_bits),
        f"{name}.quantize_activation": one(1),
        f"{name}.adjust_output_shift": one(0),
        f"{name}.shift_quantile": one(quantile),
        f"{name}.activation_threshold": torch.tensor(float(item.threshold)),
        f"{name}.op.weight": torch.from_numpy(weights.copy()),
    }
    if item.bias is not None:
        bias = np.asarray(item.bias, dtype=np.float32) * np.float32(2 ** (item.weight_bits - 1))
        state[f"{name}.op.bias"] = torch.from_numpy(bias)
    return state

"""The training arithmetic against the vendor's training package: outputs and gradients."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nibblefit_maxim.layers import Activation, HardwareLayer, Operator, Pool, PoolKind
from nibblefit_maxim.qat.gathering import gather
from nibblefit_maxim.qat.layer import LayerArithmetic, operate
from nibblefit_maxim.scales import weight_exponent
from nibblefit_maxim.settings import LayerSettings

#: File of vectors → factor of the vendor's batch-norm folding.
FILES = {"vectors-training.npz": 0.25, "vectors-training-qatv2.npz": 1.0}
MODULES = (
    "avgpool2d", "conv1d_dil", "conv1d_k5_maxpool", "conv1x1_none", "conv3_avgpool_abs",
    "conv3_maxpool_bn_relu", "conv3_relu", "conv3_wide", "convtranspose_relu", "linear_relu",
    "linear_wide", "maxpool2d",
)  # fmt: skip


@cache
def _load(folder: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(folder / name) as arrays:
        return dict(arrays)


def _layer(name: str, facts: dict[str, Any], x: np.ndarray) -> HardwareLayer:
    cls, args, options = facts["cls"], facts["args"], facts["kwargs"]
    kinds = {"Conv1d": Operator.CONV1D, "ConvTranspose2d": Operator.CONV_TRANSPOSE2D,
             "Conv2d": Operator.CONV2D, "Linear": Operator.LINEAR}  # fmt: skip
    operator = next((kind for word, kind in kinds.items() if word in cls), Operator.PASSTHROUGH)
    axes = 1 if "1d" in cls else 2
    pool = None
    if "Pool" in cls:
        size = options.get("pool_size", args[0])
        stride = options.get("pool_stride", options.get("stride"))
        kind = PoolKind.MAX if "Max" in cls else PoolKind.AVG
        pool = Pool(kind, (size,) * axes, (stride,) * axes, (1,) * axes)
    words = {"ReLU": Activation.RELU, "Abs": Activation.ABS}
    activation = next((kind for word, kind in words.items() if word in cls), Activation.NONE)
    is_conv = operator not in (Operator.LINEAR, Operator.PASSTHROUGH)
    taps = (args[2],) * axes if is_conv else ()
    return HardwareLayer(
        name, operator, ("x",), x.shape[1:], (1,), pool=pool, kernel=taps,
        pad=(options.get("padding", 0),) * len(taps),
        dilation=(options.get("dilation", 1),) * len(taps),
        activation=activation, wide=options.get("wide", False),
    )  # fmt: skip


def _parameters(
    state: dict[str, np.ndarray], factor: float
) -> tuple[np.ndarray | None, np.ndarray | None]:
    weights, bias = state.get("op.weight"), state.get("op.bias")
    if weights is not None and bias is not None and "bn.weight" in state:
        scale = state["bn.weight"].astype(float) / np.sqrt(
            state["bn.running_var"].astype(float) + 1e-5
        )
        bias = ((bias - state["bn.running_mean"]) * scale + state["bn.bias"]) * factor
        weights = weights.astype(float) * scale.reshape(-1, 1, 1, 1) * factor
        weights, bias = weights.astype(np.float32), bias.astype(np.float32)
    return weights, bias


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("module", MODULES)
def test_forward_and_gradient_equal_the_vendors(shared: Path, file: str, module: str) -> None:
    """Outputs are equal, and so is the gradient with respect to the input, to float32 rounding.

    Only for Abs they may differ, by one step, at negative ties: the vendor's training rectifies
    before rounding, the compiler and the chip after it, and we follow the chip.
    """
    folder = shared / "vendor" / "maxim" / "qat"
    arrays = _load(folder, file)
    facts = json.loads((folder / "modules.json").read_text())[module]
    own = {k.split("|", 1)[1]: v for k, v in arrays.items() if k.startswith(f"{module}|")}
    state = {k.removeprefix("sd|"): v for k, v in own.items() if k.startswith("sd|")}
    layer = _layer(module, facts, own["x"])
    weights, bias = _parameters(state, FILES[file])
    modes = sorted(k.removesuffix("|y") for k in own if k.startswith("w") and k.endswith("|y"))
    assert modes
    for mode in modes:
        bits, quantile = int(mode[1]), float(mode[3:])
        x = torch.tensor(own["x"], requires_grad=True)
        y = gather(layer, [x * 128.0], quantized=True)
        if weights is not None:
            arithmetic = LayerArithmetic(layer, LayerSettings(bits, quantile))
            tensor = None if bias is None else torch.tensor(bias)
            y = operate(arithmetic, y, torch.tensor(weights), tensor)
            if layer.wide:
                # We return real values; the vendor leaves the weights' power of two in.
                y = y * 2.0 ** weight_exponent(weights, bias, bits, quantile) * 128.0
        y = y / 128.0
        y.sum().backward()
        _compare(layer, y.detach().numpy(), own[f"{mode}|y"])
        assert x.grad is not None
        assert np.abs(x.grad.numpy() - own[f"{mode}|dx"]).max() <= 1e-5


def _compare(layer: HardwareLayer, found: np.ndarray, expected: np.ndarray) -> None:
    if layer.activation is not Activation.ABS:
        assert np.array_equal(found, expected)
        return
    difference = expected - found
    # Away from zero at ties is one step larger, never smaller.
    assert set(np.unique(np.rint(difference * 128))) <= {0.0, 1.0}
    assert (difference > 0).mean() < 0.2

"""The fused classes against the vendor's training package: outputs and gradients."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nibblefit_maxim import library
from nibblefit_maxim.options import Generation

FILES: dict[Generation, str] = {
    "v1": "vectors-training.npz", "v2": "vectors-training-qatv2.npz",
}  # fmt: skip
MODULES = (
    "avgpool2d", "conv1d_dil", "conv1d_k5_maxpool", "conv1x1_none", "conv3_avgpool_abs",
    "conv3_maxpool_bn_relu", "conv3_relu", "conv3_wide", "convtranspose_relu", "linear_relu",
    "linear_wide", "maxpool2d",
)  # fmt: skip


@cache
def _vectors(folder: Path, file: str) -> dict[str, np.ndarray]:
    with np.load(folder / file) as arrays:
        return dict(arrays)


def _built(folder: Path, generation: Generation, name: str) -> tuple[Any, dict[str, np.ndarray]]:
    """Return the module with the vendor's parameters, and its vectors."""
    facts = json.loads((folder / "modules.json").read_text())[name]
    prefix = f"{name}|"
    arrays = _vectors(folder, FILES[generation])
    own = {key.removeprefix(prefix): v for key, v in arrays.items() if key.startswith(prefix)}
    module = getattr(library, facts["cls"])(*facts["args"], **facts["kwargs"])
    state = {k.removeprefix("sd|"): torch.tensor(v) for k, v in own.items()
             if k.startswith(("sd|op.", "sd|bn."))}  # fmt: skip
    module.load_state_dict(state)
    return module, own


def _check(module: Any, own: dict[str, np.ndarray], mode: str) -> None:
    x = torch.tensor(own["x"], requires_grad=True)
    y = module(x)
    y.sum().backward()
    assert x.grad is not None
    expected = own[f"{mode}|y"]
    assert np.allclose(y.detach().numpy(), expected, rtol=1e-6, atol=1e-6)
    assert np.allclose(x.grad.numpy(), own[f"{mode}|dx"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("generation", FILES)
@pytest.mark.parametrize("name", MODULES)
def test_float_forward_and_gradient_equal_the_vendors(
    shared: Path, generation: Generation, name: str
) -> None:
    """Before QAT: generation 1 clips and quarters batch norm, generation 2 does neither."""
    module, own = _built(shared / "vendor" / "maxim" / "qat", generation, name)
    library.set_generation(module, generation)
    _check(module.eval(), own, "float")


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("generation", FILES)
@pytest.mark.parametrize("name", MODULES)
def test_quantized_forward_and_gradient_equal_the_vendors(
    shared: Path, generation: Generation, name: str, training: bool
) -> None:
    """Every width and quantile, in the exact and in the fast arithmetic; 8-bit data bit for bit."""
    module, own = _built(shared / "vendor" / "maxim" / "qat", generation, name)
    modes = sorted(k.removesuffix("|y") for k in own if k.startswith("w") and k.endswith("|y"))
    assert modes
    for mode in modes:
        library.start_qat(
            module.train(training), weight_bits=int(mode[1]), shift_quantile=float(mode[3:]),
            generation=generation, vendor_abs=True,
        )  # fmt: skip
        _check(module, own, mode)
        if not module.wide:
            y = module(torch.tensor(own["x"])).detach().numpy()
            assert np.array_equal(y, own[f"{mode}|y"])

"""Vendor training checkpoints in models of fused layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.maxim.networks import lively
from torch import Tensor, nn

from nibblefit.errors import InputError
from nibblefit.models import Model
from nibblefit.nn.capture import capture
from nibblefit_maxim import library
from nibblefit_maxim.folding import fold_model
from nibblefit_maxim.fusing.fuser import fuse
from nibblefit_maxim.lift import lift
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import MAX78000
from nibblefit_maxim.quantize import quantize_network
from nibblefit_maxim.settings import layer_settings


class ExtraSmall(nn.Module):
    """The vendor's smallest MNIST network, in its own classes and names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = library.FusedConv2dReLU(1, 8, 3, padding=1, bias=False)
        self.conv2 = library.FusedMaxPoolConv2dReLU(8, 8, 3, padding=2, bias=False)
        self.conv3 = library.FusedMaxPoolConv2dReLU(
            8, 8, 3, pool_size=4, pool_stride=4, padding=1, bias=False
        )
        self.fc = library.Linear(128, 10, bias=True, wide=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores."""
        x = self.conv3(self.conv2(self.conv1(x)))
        return self.fc(x.view(x.size(0), -1))


def test_vendor_checkpoint_becomes_the_vendors_integers_through_our_pipeline(shared: Path) -> None:
    """Loaded, captured, fused and quantized: weights, biases and shifts of the vendor's script."""
    folder = shared / "vendor" / "maxim" / "quantize"
    model = ExtraSmall()
    found = library.load_vendor_checkpoint(model, folder / "mnist-xs-float.pth.tar")
    assert found["conv1"] == {"weight_bits": 8, "shift_quantile": 1.0}
    graph = fold_model(Model(capture(model.eval(), (1, 28, 28)))).graph
    fused = fuse(graph, MAX78000)
    settings = layer_settings(fused, MaximOptions(), found)
    items = lift(quantize_network(graph, fused, settings, {}, MAX78000))
    expected = torch.load(folder / "mnist-xs-q.pth.tar", weights_only=True)["state_dict"]
    assert len(items) == 4
    for item, name in zip(items, found, strict=True):
        assert item.weights is not None
        assert np.array_equal(item.weights, expected[f"{name}.op.weight"].numpy().astype(int))
        if not item.layer.wide:
            assert item.output_shift == int(expected[f"{name}.output_shift"])
    assert items[-1].bias is not None
    stored = expected["fc.op.bias"].numpy() / 128
    assert np.array_equal(items[-1].bias, stored.astype(int))


class Normed(nn.Module):
    """Two layers, one with batch norm."""

    def __init__(self, batchnorm: str = "Affine") -> None:
        super().__init__()
        self.first = library.FusedConv2dBNReLU(1, 4, 3, batchnorm=batchnorm)
        self.second = library.FusedMaxPoolConv2dReLU(4, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps."""
        return self.second(self.first(x))


def _saved(path: Path, state: dict[str, Tensor], **more: Any) -> Path:
    torch.save({"epoch": 1, "arch": "net", "state_dict": state, **more}, path)
    return path


@pytest.mark.parametrize("batchnorm", ["Affine", "NoAffine"])
def test_first_generation_before_qat_computes_the_same(tmp_path: Path, batchnorm: str) -> None:
    """The vendor's layers divide batch norm by four; loaded, the plain layers need not."""
    torch.manual_seed(0)
    source = lively(Normed()) if batchnorm == "Affine" else Normed(batchnorm).eval()
    source.first.bn.running_var.mul_(3.0)
    library.set_generation(source, "v1")
    path = _saved(tmp_path / "v1.pth.tar", source.state_dict())
    model = Normed(batchnorm)
    library.load_vendor_checkpoint(model, path)
    x = torch.rand(2, 1, 12, 12) * 0.2
    with torch.no_grad():
        assert torch.allclose(model.eval()(x), source(x), atol=1e-6)


def test_second_generation_behind_qat_computes_the_same(tmp_path: Path) -> None:
    """Thresholds move into weights and biases; folded batch norms leave the model."""
    torch.manual_seed(0)
    source = lively(Normed())
    library.start_qat(source, shift_quantile=0.985, overrides={"first": {"weight_bits": 4}})
    source.first.activation_threshold = 1
    source.second.activation_threshold = -2
    source.second.final_scale = 3
    state = {f"module.{key}": value for key, value in source.state_dict().items()}
    for name, layer in (("first", source.first), ("second", source.second)):
        state[f"module.{name}.activation_threshold"] = torch.tensor(
            float(layer.activation_threshold)
        )
        state[f"module.{name}.weight_bits"] = torch.tensor([float(layer.settings.weight_bits)])
        state[f"module.{name}.shift_quantile"] = torch.tensor([0.985])
        state[f"module.{name}.final_scale"] = torch.tensor(float(layer.final_scale))
    model = Normed()
    found = library.load_vendor_checkpoint(model, _saved(tmp_path / "v2.pth.tar", state))
    assert found == {
        "first": {"weight_bits": 4, "shift_quantile": 0.985},
        "second": {"weight_bits": 8, "shift_quantile": 0.985},
    }
    assert model.first.bn is None
    assert (model.first.final_scale, model.second.final_scale) == (0, 3)
    library.start_qat(model, overrides=found)
    x = (torch.rand(2, 1, 12, 12) * 128).floor() / 128
    with torch.no_grad():
        assert torch.equal(model.eval()(x), source.eval()(x))


def test_names_and_shapes_that_differ_are_listed_together(tmp_path: Path) -> None:
    """Missing, surplus and misshapen tensors, each with the closest name."""
    state = Normed().state_dict()
    state["frist.op.weight"] = state.pop("first.op.weight")
    state["second.op.bias"] = torch.zeros(7)
    with pytest.raises(InputError) as error:
        library.load_vendor_checkpoint(Normed(), _saved(tmp_path / "bad.pth.tar", state))
    for text in ("'first.op.weight' is missing", "'frist.op.weight' is not in the model",
                 "'second.op.bias' is (7,); the model's is (3,)"):  # fmt: skip
        assert text in str(error.value)


def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path) -> None:
    """Absent, damaged, and without a state_dict; nothing in a file is executed."""
    model = Normed()
    with pytest.raises(InputError, match="does not exist"):
        library.load_vendor_checkpoint(model, tmp_path / "none.pth.tar")
    (tmp_path / "damaged.pth.tar").write_bytes(b"PK damaged")
    with pytest.raises(InputError, match="not a checkpoint of tensors"):
        library.load_vendor_checkpoint(model, tmp_path / "damaged.pth.tar")
    torch.save({"epoch": 1}, tmp_path / "empty.pth.tar")
    with pytest.raises(InputError, match="'state_dict' is missing"):
        library.load_vendor_checkpoint(model, tmp_path / "empty.pth.tar")

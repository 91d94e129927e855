"""The fused classes: names, defaults, refusals, capture, folding and switching to QAT."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from tests.maxim.flow import quantized
from tests.maxim.networks import captured, lively, random_inputs
from torch import Tensor, nn

from nibblefit.errors import InputError, RecipeError
from nibblefit.ir import reference
from nibblefit_maxim import library
from nibblefit_maxim.fusing.fuser import fuse
from nibblefit_maxim.library.forms import ELTWISE, FORMS
from nibblefit_maxim.options import Generation, MaximOptions
from nibblefit_maxim.parts import MAX78000, MAX78002

#: Sheet of the vendor's classes: stem → tails.
VENDOR = {
    "FusedConv2d": ("ReLU", "Abs", "BN", "BNReLU"),
    "FusedMaxPoolConv2d": ("", "BN", "ReLU", "BNReLU", "Abs", "BNAbs"),
    "FusedAvgPoolConv2d": ("", "ReLU", "BNReLU", "Abs", "BNAbs"),
    "FusedDepthwiseConv2d": ("ReLU", "BNReLU"),
    "FusedMaxPoolDepthwiseConv2d": ("", "ReLU", "BNReLU"),
    "FusedAvgPoolDepthwiseConv2d": ("", "ReLU", "BNReLU"),
    "FusedConvTranspose2d": ("ReLU", "Abs", "BNReLU"),
    "FusedMaxPoolConvTranspose2d": ("", "ReLU", "BNReLU", "Abs"),
    "FusedAvgPoolConvTranspose2d": ("", "ReLU", "BNReLU", "Abs"),
    "FusedDepthwiseConvTranspose2d": ("ReLU", "Abs", "BNReLU"),
    "FusedMaxPoolDepthwiseConvTranspose2d": ("", "ReLU", "BNReLU", "Abs"),
    "FusedAvgPoolDepthwiseConvTranspose2d": ("", "ReLU", "BNReLU", "Abs"),
    "FusedConv1d": ("ReLU", "BNReLU", "Abs", "BNAbs"),
    "FusedMaxPoolConv1d": ("", "BN", "ReLU", "BNReLU", "Abs", "BNAbs"),
    "FusedAvgPoolConv1d": ("", "ReLU", "BNReLU", "Abs", "BNAbs"),
    "FusedLinear": ("ReLU", "Abs"),
}
SINGLE = (
    "Conv2d", "Conv1d", "ConvTranspose2d", "DepthwiseConv2d", "DepthwiseConvTranspose2d", "Linear",
    "MaxPool2d", "AvgPool2d", "MaxPool1d", "AvgPool1d", "Add", "Sub", "BitwiseXor", "BitwiseOr",
)  # fmt: skip
NAMES = (*SINGLE, *(stem + tail for stem, tails in VENDOR.items() for tail in tails))


@pytest.mark.parametrize("name", NAMES)
def test_every_vendor_class_is_found_by_its_name(name: str) -> None:
    """As a class of that name, with a docstring."""
    made = getattr(library, name)
    assert issubclass(made, nn.Module)
    assert made.__name__ == name
    assert made.__doc__
    assert name in dir(library)


def test_library_is_listed_without_torch() -> None:
    """Names cost nothing until a class is used; unknown ones are attribute errors."""
    code = "import sys, nibblefit_maxim.library as l; dir(l); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="FusedConv3d"):
        _ = library.FusedConv3d


def test_defaults_are_the_vendors() -> None:
    """Pool 2 by 2, bias for convolutions and none for linear, batch norm's own numbers."""
    layer = library.FusedMaxPoolConv2dBNReLU(3, 5, 3)
    assert (layer.pool.kernel_size, layer.pool.stride) == (2, 2)
    assert layer.op.bias is not None
    assert (layer.op.padding, layer.op.stride) == ((0, 0), (1, 1))
    assert (layer.bn.eps, layer.bn.momentum) == (1e-05, 0.05)
    assert library.Linear(3, 5).op.bias is None
    assert library.MaxPool2d(3).pool.stride == 3
    assert library.AvgPool1d(3, 2).pool.stride == (2,)
    transposed = library.ConvTranspose2d(3, 5, 3, stride=2, padding=1)
    assert transposed.op.output_padding == (1, 1)
    assert library.DepthwiseConv2d(4, 4, 3).op.groups == 4
    assert library.Conv2d(3, 5, 3, batchnorm="NoAffine").bn.weight is None


@pytest.mark.parametrize(
    ("name", "arguments", "options", "text"),
    [
        ("Conv2d", (1, 2, 3), {"padding": 3}, "padding is 3"),
        ("FusedMaxPoolConv2d", (1, 2, 3), {"stride": 2}, "behind pooling it must be 1"),
        ("FusedMaxPoolConv2d", (1, 2, 3), {"pool_size": 17}, "pool_size is 17"),
        ("FusedMaxPoolConv1d", (1, 2, 3), {"pool_stride": 0}, "pool_stride is 0"),
        ("ConvTranspose2d", (1, 2, 3), {}, "expected 2"),
        ("FusedConv2dBNReLU", (1, 2, 3), {"bias": False}, "batch norm needs bias"),
        ("FusedConv2dReLU", (1, 2, 3), {"wide": True}, "no activation"),
        ("Conv2d", (1, 2, 3), {"activation": "Tanh"}, "activation is 'Tanh'"),
        ("Conv2d", (1, 2, 3), {"pooling": "Min"}, "pooling is 'Min'"),
        ("Conv2d", (1, 2, 3), {"batchnorm": "Yes"}, "batchnorm is 'Yes'"),
        ("Conv2d", (1, 2, 3), {"weight_bits": 3}, "weight_bits is 3"),
        ("Conv2d", (1, 2, 3), {"weight_bits": 4, "bias_bits": 2}, "bias_bits is 2"),
        ("Conv2d", (1, 2, 3), {"quantize_activation": True}, "quantize_activation is set"),
        ("Linear", (1025, 2), {}, "at most 1024"),
    ],
)
def test_what_the_hardware_lacks_is_refused(
    name: str, arguments: tuple[int, ...], options: dict[str, Any], text: str
) -> None:
    """One clear line that names the class and what it got."""
    with pytest.raises(InputError, match=text) as error:
        getattr(library, name)(*arguments, **options)
    assert name in str(error.value)


class Fused(nn.Module):
    """A residual network of fused classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = library.FusedConv2dBNReLU(2, 8, 3, padding=1)
        self.left = library.FusedMaxPoolConv2dBN(8, 6, 3, padding=1)
        self.right = library.FusedAvgPoolConv2dAbs(8, 6, 1)
        self.add = library.Add()
        self.last = library.FusedConv2dReLU(6, 8, 3, padding=1)
        self.head = library.Linear(8 * 16, 4, bias=True, wide=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return four scores."""
        x = self.stem(x)
        x = self.last(self.add(self.left(x), self.right(x)))
        return self.head(x.flatten(1))


class Plain(nn.Module):
    """The same network of plain modules."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.left, self.left_norm = nn.Conv2d(8, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.right = nn.Conv2d(8, 6, 1)
        self.last = nn.Conv2d(6, 8, 3, padding=1)
        self.head = nn.Linear(8 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return four scores."""
        x = torch.relu(self.norm(self.stem(x)))
        left = self.left_norm(self.left(nn.functional.max_pool2d(x, 2)))
        right = torch.abs(self.right(nn.functional.avg_pool2d(x, 2)))
        return self.head(torch.relu(self.last(left + right)).flatten(1))


def test_model_of_fused_classes_becomes_the_layers_of_the_plain_one() -> None:
    """Captured and fused, both give the same hardware layers and the same integers."""
    torch.manual_seed(0)
    fused, plain = Fused(), Plain()
    lively(fused)
    plain.load_state_dict(dict(zip(plain.state_dict(), fused.state_dict().values(), strict=True)))
    x = random_inputs((2, 8, 8), 8)
    plain.eval()
    ours = quantized(captured(fused, (2, 8, 8)), x)
    from nibblefit.nn.capture.entry import capture

    theirs = quantized(capture(plain, (2, 8, 8)), x)
    words = [layer.describe() for layer in ours.fused.layers]
    assert words == [layer.describe() for layer in theirs.fused.layers]
    for one, other in zip(_outputs(ours, x), _outputs(theirs, x), strict=True):
        assert np.array_equal(one, other)


def _outputs(done: Any, x: np.ndarray) -> list[np.ndarray]:
    codes = {done.graph.inputs[0]: done.codes(x)}
    return list(reference.run(done.graph, codes).outputs.values())


@pytest.mark.parametrize("name", [n for n in NAMES if FORMS.get(n) and FORMS[n].operator])
def test_every_class_is_one_layer_of_the_accelerator(name: str) -> None:
    """Captured alone, each class with an operator fuses to exactly one hardware layer."""
    form = FORMS[name]
    if form.axes == 0:
        module, shape = getattr(library, name)(6, 5, bias=True), (6,)
    else:
        stride = {"stride": 2} if form.operator == "convtranspose2d" else {}
        channels = (4, 4) if form.depthwise else (4, 6)
        module = getattr(library, name)(*channels, 3, padding=1, **stride)
        shape = (4, *(8,) * form.axes)  # type: ignore[assignment]
    network = fuse(captured(module, shape), MAX78002)
    if not network.refusals:
        assert len(network.layers) == 1
        assert network.layers[0].activation.value == (form.activation or "none").lower()
    else:
        # What no device has is refused by name: depthwise layers that the part cannot run.
        assert form.depthwise
        assert form.operator != "conv2d"


@pytest.mark.parametrize("generation", ["v1", "v2"])
def test_quantized_training_of_a_model_follows_its_float_one(generation: Generation) -> None:
    """After folding, a model in the chip's arithmetic stays close to the float model."""
    torch.manual_seed(1)
    model = lively(Fused())
    x = torch.from_numpy(random_inputs((2, 8, 8), 16)) / 2
    x = (x * 128).round() / 128
    library.set_generation(model, generation)
    with torch.no_grad():
        real = model(x)
        library.start_qat(model, generation=generation, overrides={"last": {"weight_bits": 8}})
        model.head.wide = False
        codes = model(x)
    assert model.stem.bn is None
    if generation == "v1":
        assert float((codes - real).abs().mean()) < 0.05
    assert "8 bits" in repr(model)


def test_overrides_and_values_that_do_not_exist_are_refused_together() -> None:
    """Names with their closest match, and nothing is switched."""
    model = Fused()
    with pytest.raises(RecipeError) as error:
        library.start_qat(model, weight_bits=5, overrides={"stme": {}, "last": {"weight_bits": 3}})
    text = str(error.value)
    assert "did you mean 'stem'" in text
    assert "weight_bits is 5" in text
    assert "weight_bits is 3" in text
    assert model.stem.bn is not None


def test_quantizing_before_folding_is_refused() -> None:
    """A batch norm has no place in the chip's arithmetic."""
    layer = library.FusedConv2dBNReLU(1, 2, 3)
    with pytest.raises(InputError, match="not folded"):
        layer.arithmetic()


@pytest.mark.parametrize("name", ELTWISE)
def test_operands_are_combined_from_left_to_right(name: str) -> None:
    """Sums are clipped once quantized; bits are those of int8 codes; gradients reach operands."""
    random = np.random.default_rng(0)
    codes = random.integers(-128, 128, (3, 2, 4, 5))
    module = getattr(library, name)()
    operands = [torch.tensor(c / 128, dtype=torch.float32, requires_grad=True) for c in codes]
    numpy = {"add": np.add, "sub": np.subtract, "or": np.bitwise_or, "xor": np.bitwise_xor}
    combine = numpy[ELTWISE[name]]
    expected = combine(combine(codes[0], codes[1]), codes[2])
    assert np.array_equal(module(*operands).detach().numpy() * 128, expected)
    library.start_qat(module)
    y = module(*operands)
    assert np.array_equal(y.detach().numpy() * 128, np.clip(expected, -128, 127))
    y.sum().backward()
    assert all(bool(x.grad.abs().sum() > 0) for x in operands)


def test_transposed_and_depthwise_batch_norm_fold_exactly() -> None:
    """The scale reaches the output axis, wherever the operator keeps it."""
    torch.manual_seed(0)
    for name, channels in (("FusedConvTranspose2dBNReLU", (3, 5)),
                           ("FusedDepthwiseConvTranspose2dBNReLU", (4, 4)),
                           ("FusedDepthwiseConv2dBNReLU", (4, 4)),
                           ("FusedConv1dBNAbs", (3, 5))):  # fmt: skip
        stride = {"stride": 2} if "Transpose" in name else {}
        module = lively(getattr(library, name)(*channels, 3, padding=1, **stride))
        axes = 1 if "1d" in name else 2
        x = torch.randn(2, channels[0], *(7,) * axes)
        with torch.no_grad():
            before = module(x)
            library.fold_batch_norm(module)
            assert torch.allclose(module(x), before, atol=1e-5), name


def test_first_generation_of_the_options_has_no_thresholds() -> None:
    """What a run measures follows the generation."""
    assert not MaximOptions(generation="v1").measures_thresholds
    assert MaximOptions().measures_thresholds
    assert fuse(captured(lively(Fused()), (2, 8, 8)), MAX78000).layers

"""Every function that can be captured, one by one: equal in float64, and through ONNX."""

# Cases share one signature.
# ruff: noqa: ARG005, N812, PLC3002

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from tests.core.nn.equality import assert_same, random_inputs, relative
from torch import nn

from nibblefit.ir.float_reference import run_float
from nibblefit.ir.ops import Op
from nibblefit.nn.capture import capture
from nibblefit.nn.onnx_export import to_onnx


class Wrapped(nn.Module):
    """A function of one activation and two weights as a module."""

    def __init__(self, function, weight_shape=()):
        super().__init__()
        self.function = function
        torch.manual_seed(3)
        self.weight = nn.Parameter(torch.randn(weight_shape))
        self.register_buffer("table", torch.rand(weight_shape) + 0.5)

    def forward(self, x):
        return self.function(x, self)


MAP = (6, 8, 12)
CASES = {
    "add_number": (lambda x, m: x + 2.5, MAP),
    "add_scaled": (lambda x, m: torch.add(x, x.abs(), alpha=1), MAP),
    "add_alpha": (lambda x, m: torch.add(x, m.table, alpha=3), MAP, (6, 1, 1)),
    "radd": (lambda x, m: 2 + x, MAP),
    "iadd": (lambda x, m: x.abs().add_(x), MAP),
    "sub": (lambda x, m: x - m.table, MAP, (1, 6, 1, 1)),
    "rsub": (lambda x, m: 1 - x, MAP),
    "mul_parameter": (lambda x, m: x * m.weight, MAP, (6, 1, 1)),
    "mul_row": (lambda x, m: m.weight * x, MAP, (12,)),
    "div": (lambda x, m: x / 3, MAP),
    "div_tensor": (lambda x, m: x / m.table, MAP, (6, 1, 1)),
    "neg_square": (lambda x, m: -(x**2) + x.square(), MAP),
    "constant_from_code": (lambda x, m: x + torch.arange(12), MAP),
    "constant_for_batch": (lambda x, m: x + torch.ones_like(x) * 2, MAP),
    "relu": (lambda x, m: F.relu(x), MAP),
    "relu_inplace": (lambda x, m: F.relu_(x + 1) + x, MAP),
    "relu6": (lambda x, m: F.relu6(x * 9), MAP),
    "clamp": (lambda x, m: x.clamp(-0.5, 0.75), MAP),
    "clamp_one_side": (lambda x, m: x.clamp(max=0.5).clamp_min(0), MAP),
    "hardtanh": (lambda x, m: F.hardtanh(x, -2, 2), MAP),
    "threshold": (lambda x, m: F.threshold(x, 0, 0), MAP),
    "leaky_relu": (lambda x, m: F.leaky_relu(x, 0.3), MAP),
    "prelu_channels": (lambda x, m: F.prelu(x, m.weight), MAP, (6,)),
    "prelu_single": (lambda x, m: F.prelu(x, m.weight), MAP, (1,)),
    "abs_sigmoid_tanh": (lambda x, m: torch.tanh(torch.sigmoid(x).abs()), MAP),
    "hard": (lambda x, m: F.hardsigmoid(x) + F.hardswish(x), MAP),
    "silu": (lambda x, m: F.silu(x), MAP),
    "softmax": (lambda x, m: F.softmax(x, dim=1), MAP),
    "softmax_last": (lambda x, m: x.softmax(-1), MAP),
    "argmax": (lambda x, m: x.argmax(1), MAP),
    "argmax_kept": (lambda x, m: torch.argmax(x, dim=-1, keepdim=True), MAP),
    "max_pool": (lambda x, m: F.max_pool2d(x, 3, 2, 1), MAP),
    "max_pool_ceil": (lambda x, m: F.max_pool2d(x, 3, 2, ceil_mode=True), (2, 8, 9)),
    "max_pool_dilated": (lambda x, m: F.max_pool2d(x, 2, 1, dilation=(2, 3)), MAP),
    "avg_pool": (lambda x, m: F.avg_pool2d(x, 3, 2, 1), MAP),
    "avg_pool_uncounted": (
        lambda x, m: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), MAP),
    "avg_pool_ceil": (lambda x, m: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), MAP),
    "avg_pool_ceil_drops": (lambda x, m: F.avg_pool2d(x, 2, 3, 1, True, False), (2, 8, 8)),
    "pool_1d": (lambda x, m: F.max_pool1d(F.avg_pool1d(x, 2), 2), (3, 16)),
    "pool_3d": (lambda x, m: F.max_pool3d(F.avg_pool3d(x, 2), 2), (2, 8, 8, 8)),
    "adaptive": (lambda x, m: F.adaptive_avg_pool2d(x, (4, 3)), MAP),
    "adaptive_one": (lambda x, m: F.adaptive_max_pool2d(x, 1), MAP),
    "adaptive_none": (lambda x, m: F.adaptive_avg_pool2d(x, (None, 4)), MAP),
    "adaptive_same": (lambda x, m: F.adaptive_avg_pool2d(x, (8, 12)) + 1, MAP),
    "mean": (lambda x, m: x.mean((2, 3)), MAP),
    "mean_kept": (lambda x, m: x.mean((-2, -1), keepdim=True), MAP),
    "mean_twice": (lambda x, m: x.mean(3).mean(2), MAP),
    "mean_rows": (lambda x, m: x.mean(2, keepdim=True), MAP),
    "mean_tokens": (lambda x, m: x.mean(1), (5, 8)),
    "sum": (lambda x, m: x.sum((2, 3)), MAP),
    "amax": (lambda x, m: x.amax(dim=(2, 3)), MAP),
    "amax_columns": (lambda x, m: x.amax(3, keepdim=True), MAP),
    "flatten": (lambda x, m: x.flatten(1), MAP),
    "flatten_some": (lambda x, m: torch.flatten(x, 2), MAP),
    "flatten_front": (lambda x, m: x.flatten(1, 2), MAP),
    "view_size": (lambda x, m: x.view(x.size(0), -1), MAP),
    "view_shape": (lambda x, m: x.view(x.shape[0], 3, 2, *x.shape[2:]), MAP),
    "view_minus_one": (lambda x, m: x.reshape(-1, 6 * 8 * 12), MAP),
    "squeeze": (lambda x, m: x.unsqueeze(2).squeeze(2) * x, MAP),
    "squeeze_all": (lambda x, m: x.squeeze(), (5, 1, 1)),
    "permute": (lambda x, m: x.permute(0, 2, 3, 1), MAP),
    "permute_tuple": (lambda x, m: torch.permute(x, (0, 3, 1, 2)), MAP),
    "transpose": (lambda x, m: x.transpose(1, -1), MAP),
    "movedim": (lambda x, m: x.movedim(1, -1), MAP),
    "mT": (lambda x, m: x.mT, MAP),
    "shuffle": (
        lambda x, m: x.view(x.size(0), 2, 3, 8, 12).transpose(1, 2).contiguous()
        .view(x.size(0), -1, 8, 12), MAP),
    "channel_shuffle": (lambda x, m: F.channel_shuffle(x, 3), MAP),
    "pixel_shuffle": (lambda x, m: F.pixel_shuffle(x, 2), (8, 3, 5)),
    "pixel_unshuffle": (lambda x, m: F.pixel_unshuffle(x, 2), MAP),
    "cat": (lambda x, m: torch.cat([x, x.abs(), -x], 1), MAP),
    "cat_rows": (lambda x, m: torch.cat((x, x), dim=-2), MAP),
    "cat_zeros": (lambda x, m: torch.cat([x, torch.zeros_like(x)], 1), MAP),
    "stack": (lambda x, m: torch.stack([x, -x], dim=2), MAP),
    "chunk": (lambda x, m: (lambda a, b: a * b)(*x.chunk(2, 1)), MAP),
    "split": (lambda x, m: torch.split(x, [1, 2, 3], 1)[2], MAP),
    "split_last": (lambda x, m: torch.cat(x.split(5, dim=3)[::-1], 3), MAP),
    "unbind": (lambda x, m: x.unbind(1)[0] + x.unbind(1)[5], MAP),
    "slice": (lambda x, m: x[:, 1:4], MAP),
    "slice_steps": (lambda x, m: x[:, :, ::2, 1::3], MAP),
    "slice_ellipsis": (lambda x, m: x[..., -3:], MAP),
    "index": (lambda x, m: x[:, 2], MAP),
    "index_none": (lambda x, m: x[:, 0].unsqueeze(1) * x[:, None, 1], MAP),
    "focus": (lambda x, m: torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2]], 1), MAP),
    "narrow_select": (lambda x, m: x.narrow(1, 2, 3).select(2, 1), MAP),
    "pad": (lambda x, m: F.pad(x, (1, 2, 0, 3)), MAP),
    "pad_value": (lambda x, m: F.pad(x, (1, 1), value=-1.5), MAP),
    "pad_channels": (lambda x, m: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 3, 3)), MAP),
    "crop": (lambda x, m: F.pad(x, (-1, 2, -2, -1)), MAP),
    "nearest": (lambda x, m: F.interpolate(x, scale_factor=2), MAP),
    "nearest_size": (lambda x, m: F.interpolate(x, size=(4, 24)), MAP),
    "nearest_exact": (lambda x, m: F.interpolate(x, size=(12, 6), mode="nearest-exact"), MAP),
    "bilinear": (
        lambda x, m: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False), MAP),
    "bilinear_corners": (
        lambda x, m: F.interpolate(x, size=(15, 24), mode="bilinear", align_corners=True), MAP),
    "bilinear_down": (lambda x, m: F.interpolate(x, size=(4, 6), mode="bilinear"), MAP),
    "linear_1d": (lambda x, m: F.interpolate(x, scale_factor=2, mode="linear"), (3, 8)),
    "conv1d": (lambda x, m: F.conv1d(x, m.weight, stride=2, padding=1), (3, 16), (5, 3, 3)),
    "conv2d_groups": (
        lambda x, m: F.conv2d(x, m.weight, None, 1, "same", 2, 3), MAP, (9, 2, 2, 3)),
    "conv3d": (lambda x, m: F.conv3d(x, m.weight), (2, 5, 5, 5), (3, 2, 2, 2, 2)),
    "conv_transpose": (
        lambda x, m: F.conv_transpose2d(x, m.weight, stride=2, padding=1, output_padding=1),
        MAP, (6, 4, 3, 3)),
    "conv_transpose_groups": (
        lambda x, m: F.conv_transpose2d(x, m.weight, groups=2, dilation=2), MAP, (6, 2, 2, 2)),
    "conv_transpose_1d": (
        lambda x, m: F.conv_transpose1d(x, m.weight, stride=3), (3, 8), (3, 2, 4)),
    "conv_standardized": (
        lambda x, m: F.conv2d(x, (m.weight - m.weight.mean()) / m.weight.std()), MAP,
        (4, 6, 1, 1)),
    "linear_tokens": (lambda x, m: F.linear(x, m.weight), (5, 8), (4, 8)),
    "matmul_weight": (lambda x, m: x @ m.weight, (5, 8), (8, 3)),
    "matmul_front": (lambda x, m: m.weight @ x, (5, 8), (3, 5)),
    "matmul_activations": (lambda x, m: x @ x.transpose(1, 2), (5, 8)),
    "attention": (
        lambda x, m: torch.softmax(torch.bmm(x, x.mT) / 8**0.5, dim=-1) @ x, (5, 8)),
    "addmm": (lambda x, m: torch.addmm(m.weight[0], x, m.weight), (8,), (8, 8)),
    "dropout": (lambda x, m: F.dropout(x, 0.3, m.training) + F.dropout2d(x, 0.2, m.training), MAP),
    "copies": (lambda x, m: x.contiguous().clone().detach().double() + 1, MAP),
    "expand": (lambda x, m: x * x.mean((2, 3), keepdim=True).expand_as(x), MAP),
    "control_on_shape": (lambda x, m: x if x.shape[1] == 3 else x[:, : x.size(2) // 4], MAP),
    "einops_style": (
        lambda x, m: torch.cat([part.squeeze(1) for part in x.split(1, 1)], dim=2), MAP),
}  # fmt: skip


def case(name):
    """Return module and input shape of one case."""
    function, shape, *weight = CASES[name]
    return Wrapped(function, *weight), shape


@pytest.mark.parametrize("name", CASES)
def test_function_is_captured_exactly(name):
    """Reference and torch network equal the module to 1e-9 in float64."""
    module, shape = case(name)
    assert_same(capture(module, shape), module)


def test_float_widths_in_the_code_are_left_out():
    """Conversions to float and half leave no trace in the graph."""
    graph = capture(Wrapped(lambda x, m: F.relu(x.half().float()) * m.weight.float(), (4,)), (4,))
    assert [n.op for n in graph.nodes] == [Op.RELU, Op.MUL]
    assert graph.nodes[1].inputs == ("relu", "weight")


@pytest.mark.parametrize("name", CASES)
def test_exported_function_runs_in_onnxruntime(name):
    """The exported file gives the reference's numbers in ONNX Runtime, for another batch."""
    module, shape = case(name)
    graph = capture(module, shape)
    inputs = random_inputs(graph, batch=3)
    single = {n: x.astype(np.float32) for n, x in inputs.items()}
    expected = run_float(graph, single)
    session = onnxruntime.InferenceSession(to_onnx(graph).SerializeToString())
    for output, found in zip(graph.outputs, session.run(None, single)):
        assert relative(np.asarray(found, np.float64), expected[output]) <= 2e-5


def test_canonical_operators_are_chosen():
    """Mean becomes a global pool, view a flatten, a linear product a linear layer."""
    ops = {name: [n.op for n in capture(*case(name)).nodes] for name in CASES}
    assert ops["mean"] == [Op.GLOBAL_AVG_POOL, Op.FLATTEN]
    assert ops["view_size"] == [Op.FLATTEN]
    assert ops["view_minus_one"] == [Op.FLATTEN]
    assert ops["matmul_weight"] == [Op.LINEAR]
    assert ops["adaptive_one"] == [Op.GLOBAL_MAX_POOL]
    assert ops["relu6"] == [Op.MUL, Op.CLIP]
    assert ops["cat_zeros"] == [Op.PAD]
    assert ops["silu"] == [Op.SIGMOID, Op.MUL]
    assert ops["threshold"] == [Op.RELU]

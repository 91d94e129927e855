"""Random modules with branches, residuals, reuse and functional calls are captured exactly."""

# One case per kind of step.
# ruff: noqa: C901, N812

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tests.core.nn.equality import assert_same, random_inputs, relative
from torch import nn

from nibblefit.ir.float_reference import run_float
from nibblefit.nn.capture import capture
from nibblefit.nn.network import Network
from nibblefit.nn.onnx_export import export_onnx
from nibblefit.nn.onnx_import import import_onnx
from nibblefit.nn.rewrite import canonical, fold_batch_norm, remove_dropout

ACTIVATIONS = (
    F.relu, F.relu6, F.hardswish, F.silu, torch.tanh, torch.sigmoid, torch.abs,
    lambda x: F.leaky_relu(x, 0.25), lambda x: x.clamp(-1, 2), lambda x: F.relu_(x * 1),
)  # fmt: skip
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["conv", "grouped", "norm", "act", "residual", "branch", "split", "scale", "again",
             "pool", "resize", "shuffle", "pad", "gate", "dropout", "transposed"]
        ),
        st.integers(0, 9),
    ),
    min_size=1, max_size=8,
)  # fmt: skip


class Generated(nn.Module):
    """Runs a list of steps; every step keeps 4 channels."""

    def __init__(self, steps, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.steps = steps
        self.layers = nn.ModuleList(self.layer(kind, n) for kind, n in steps)
        self.shared = nn.Conv2d(4, 4, 3, padding=1)
        self.gain = nn.Parameter(torch.randn(4, 1, 1))
        self.head = nn.Linear(4, 3)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.data.normal_()
                layer.running_var.data.uniform_(0.5, 2)

    def layer(self, kind, n):
        if kind == "conv":
            kernel = 1 + n % 3
            return nn.Conv2d(4, 4, kernel, padding="same", bias=n % 2 == 0)
        if kind == "grouped":
            return nn.Conv2d(4, 4, 3, padding=1, groups=(1, 2, 4)[n % 3], dilation=1)
        if kind in {"residual", "branch"}:
            return nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        if kind == "norm":
            return nn.BatchNorm2d(4)
        if kind == "transposed":
            return nn.ConvTranspose2d(4, 4, 2, stride=2)
        return nn.Identity()

    def forward(self, x):
        for (kind, n), layer in zip(self.steps, self.layers):
            x = self.step(kind, n, layer, x)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1)), x

    def step(self, kind, n, layer, x):
        match kind:
            case "conv" | "grouped" | "norm":
                return layer(x)
            case "act":
                return ACTIVATIONS[n](x)
            case "residual":
                y = layer(x)
                y += x
                return y
            case "branch":
                return torch.cat([layer(x)[:, :2], F.max_pool2d(x, 3, 1, 1)[:, 2:]], dim=1)
            case "split":
                a, b = x.chunk(2, dim=1) if n % 2 else x.split([1, 3], dim=1)
                return torch.cat((b, a), 1)
            case "scale":
                return (x * self.gain + 0.5 * n) / 2
            case "again":
                return self.shared(x)
            case "pool" if min(x.shape[2:]) >= 4:
                return F.avg_pool2d(x, 2) if n % 2 else F.max_pool2d(x, 3, 2, 1)
            case "resize" if max(x.shape[2:]) <= 8:
                mode = "bilinear" if n % 2 else "nearest"
                return F.interpolate(x, scale_factor=2, mode=mode)
            case "shuffle":
                n, c, h, w = x.shape
                return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
            case "pad":
                return F.pad(x, (0, 1, 1, 0))
            case "gate":
                return x * torch.sigmoid(x.mean((2, 3), keepdim=True)).expand_as(x)
            case "dropout":
                return F.dropout(x, 0.5, self.training)
            case "transposed" if max(x.shape[2:]) <= 8:
                return layer(x)
        return x


@given(steps=STEPS, seed=st.integers(0, 99))
def test_generated_module_survives_every_way(steps, seed):
    """Capture, folding and ONNX out and in keep the function of a random module."""
    module = Generated(steps, seed).eval()
    graph = capture(module, (4, 8, 8))
    assert_same(graph, module)
    inputs = random_inputs(graph)
    expected = run_float(graph, inputs)
    folded = canonical(fold_batch_norm(remove_dropout(Network(graph, torch.float64).to_graph())))
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(graph, Path(folder) / "net.onnx")
        imported = import_onnx(Path(folder) / "net.onnx")
    for other, tolerance in ((folded, 1e-9), (imported, 1e-6)):
        found = run_float(other, inputs)
        for one, two in zip(graph.outputs, other.outputs):
            assert relative(found[two], expected[one]) <= tolerance

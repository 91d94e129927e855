"""What cannot be represented is refused by name, with a reason and a way out."""

# Cases share one signature.
# ruff: noqa: ARG005, N812

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nibblefit.errors import InputError, UnsupportedError
from nibblefit.nn.capture import capture


class Forward(nn.Module):
    """A forward function as a module with a layer beside it."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def data_dependent(m, x):
    return x if x.abs().amax((1, 2, 3)).sum() > 0 else -x


def assigned(m, x):
    x = x * 1
    x[:, 0] = 0
    return x


def stale_view(m, x):
    x = x * 1
    flat = x.flatten(1)
    F.relu(x, inplace=True)
    return flat


REFUSED = {
    "data-dependent branch": (data_dependent, ["bool", "values of a tensor"]),
    "item": (lambda m, x: x * x.mean().item(), ["item", "values"]),
    "lstm": (lambda m, x: m.cell(x.flatten(2))[0], ["'cell'", "lstm", "Conv1d"]),
    "gelu": (lambda m, x: F.gelu(x), ["gelu", "Hardswish"]),
    "layer norm": (lambda m, x: m.norm(x), ["'norm'", "layer_norm", "BatchNorm"]),
    "complex": (lambda m, x: torch.fft.fft(x).real, ["fft_fft"]),
    "batch mixed": (lambda m, x: x.view(-1, 4), ["reshape", "batch axis"]),
    "flatten all": (lambda m, x: x.flatten(), ["batch axis", "flatten(1)"]),
    "batch reduced": (lambda m, x: x.mean(0), ["batch axis"]),
    "batch permuted": (lambda m, x: x.permute(1, 0, 2, 3), ["batch axis"]),
    "batch indexed": (lambda m, x: x[0], ["batch"]),
    "batch normalized": (
        lambda m, x: F.batch_norm(x, None, None, training=True), ["track_running_stats"]),
    "uneven adaptive": (lambda m, x: F.adaptive_avg_pool2d(x, 3), ["(8, 8)", "(3, 3)", "divides"]),
    "reflect": (lambda m, x: F.pad(x, (1, 1, 1, 1), mode="reflect"), ["reflect", "zeros"]),
    "bicubic": (lambda m, x: F.interpolate(x, scale_factor=2, mode="bicubic"), ["bicubic"]),
    "indices": (lambda m, x: F.max_pool2d(x, 2, return_indices=True)[0], ["return_indices"]),
    "fancy index": (lambda m, x: x[:, [0, 2, 1]], ["list", "slices"]),
    "assignment": (assigned, ["writes into", "torch.cat"]),
    "stale view": (stale_view, ["in place", "view"]),
    "divide": (lambda m, x: x / (x.abs() + 1), ["divides by an activation"]),
    "random": (lambda m, x: x + torch.randn(3, 8, 8), ["random"]),
    "always dropping": (lambda m, x: F.dropout(x, 0.5), ["training=self.training"]),
    "computed weights": (
        lambda m, x: F.conv2d(x, x.mean((2, 3), keepdim=True).transpose(0, 1)), ["batch"]),
    "attention": (
        lambda m, x: F.scaled_dot_product_attention(x, x, x), ["attention"]),
    "log softmax": (lambda m, x: F.log_softmax(x, 1), ["logits"]),
    "integers": (lambda m, x: x.long() * 2, ["integers"]),
    "hidden constant": (lambda m, x: torch.ones(2, 3), ["not computed from its input"]),
    "text": (lambda m, x: "logits", ["returns a str"]),
    "repeat": (lambda m, x: x.repeat(1, 2, 1, 1), ["interpolate"]),
    "einsum": (lambda m, x: torch.einsum("bchw,bdhw->bcd", x, x), ["matmul"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_names_place_reason_and_remedy(name):
    """The message holds the layer or function, the reason and what works instead."""
    function, words = REFUSED[name]
    module = Forward(function, cell=nn.LSTM(64, 4), norm=nn.LayerNorm([3, 8, 8]))
    with pytest.raises(UnsupportedError) as caught:
        capture(module, (3, 8, 8), name="net")
    for word in ("'net'", *words):
        assert word in str(caught.value), str(caught.value)
    assert caught.value.hint


def test_all_problems_are_reported_together():
    """Two refused layers and a refused function appear in one message, each once."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.GroupNorm(2, 4), nn.ReLU(), nn.Mish())
    with pytest.raises(UnsupportedError) as caught:
        capture(net, (3, 8, 8))
    text = str(caught.value)
    assert "3 things" in text
    for word in ("layer '1', gelu", "layer '2', group_norm", "layer '4', mish"):
        assert text.count(word) == 1


def test_failing_forward_is_explained():
    """A wrong input shape ends in one InputError with torch's reason."""
    with pytest.raises(InputError, match=r"\(1, 8, 8\).*expected input"):
        capture(nn.Conv2d(3, 4, 3), (1, 8, 8))


def test_hidden_state_is_found_by_the_proof():
    """A module that changes from call to call does not pass for its graph."""

    def counting(m, x):
        m.calls = getattr(m, "calls", 0) + 1
        return x * m.calls

    with pytest.raises(UnsupportedError, match="differs from the captured graph"):
        capture(Forward(counting), (3,))


def test_fixed_batch_size_is_found_by_the_proof():
    """A batch size written into the code does not pass."""
    with pytest.raises((UnsupportedError, InputError)):
        capture(Forward(lambda m, x: x.view(2, -1)), (3, 4))


def test_torchscript_is_refused_by_name():
    """A scripted layer inside a network is named."""
    net = nn.Sequential(nn.ReLU(), torch.jit.trace(nn.Linear(3, 3), torch.randn(1, 3)))
    with pytest.raises(UnsupportedError, match=r"layer '1'.*TorchScript"):
        capture(net, (3,))


def test_module_is_left_as_it_was():
    """Capturing changes neither mode, type, weights nor hooks of the module."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    capture(net, (1, 6, 6))
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(value.dtype == before[name].dtype for name, value in net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert torch.get_default_dtype() is torch.float32


def test_weight_norm_hooks_are_captured():
    """Weights computed by hooks and parametrizations become plain weights."""
    for wrap in (nn.utils.weight_norm, nn.utils.parametrizations.weight_norm):
        net = nn.Sequential(wrap(nn.Linear(4, 3)), nn.ReLU())
        graph = capture(net, (4,))
        assert [node.op for node in graph.nodes] == ["linear", "relu"]


def test_wrapped_modules_are_looked_into():
    """Data-parallel wrappers do not show in the names."""
    graph = capture(nn.DataParallel(nn.Sequential(nn.Linear(4, 3))), (4,))
    assert [node.name for node in graph.nodes] == ["0"]


def test_names_follow_modules_and_uses():
    """Layers carry their path, second uses @2, functions path and operator."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 1)

        def forward(self, x):
            return F.relu(self.conv(self.conv(x)) + x)

    graph = capture(nn.Sequential(Block()), (2, 4, 4))
    assert [n.name for n in graph.nodes] == ["0.conv", "0.conv@2", "0.add", "0.relu"]
    assert graph.inputs == ("input",)
    assert [n.outputs for n in graph.nodes] == [(n.name,) for n in graph.nodes]


def test_parameter_keeps_its_name_beside_an_input_of_the_same_name():
    """Weights have the first claim on a name."""

    class Clash(nn.Module):
        def __init__(self):
            super().__init__()
            self.x = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return x * self.x

    graph = capture(Clash(), (3,))
    assert set(graph.constants) == {"x"}
    assert graph.inputs == ("x@2",)


def test_several_inputs_and_outputs():
    """Inputs are named like the arguments; equal outputs get tensors of their own."""

    class Two(nn.Module):
        def forward(self, image, depth):
            joined = torch.cat([image, depth], 1)
            return {"joined": joined, "same": joined, "image": image}

    graph = capture(Two(), [(3, 4, 4), (1, 4, 4)])
    assert graph.inputs == ("image", "depth")
    assert len(set(graph.outputs)) == 3
    assert graph.shapes[graph.outputs[0]] == (4, 4, 4)

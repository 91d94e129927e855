"""The trainable network: parameters, training mode, names."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from nibblefit.errors import InputError
from nibblefit.nn.capture import capture
from nibblefit.nn.names import statistics, trainable
from nibblefit.nn.network import Network


def small():
    """Return a small network with batch norm, dropout, a buffer and a frozen weight."""

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 3, padding=1)
            self.bn = nn.BatchNorm2d(4, momentum=0.25)
            self.drop = nn.Dropout(0.5)
            self.register_buffer("offset", torch.ones(2, 1, 1))
            self.gain = nn.Parameter(torch.ones(4, 1, 1))
            self.fc = nn.Linear(4, 3)
            self.fc.weight.requires_grad_(False)

        def forward(self, x):
            x = self.drop(self.bn(self.conv(x - self.offset)) * self.gain)
            return self.fc(torch.relu(x).mean((2, 3)) * 0.5)

    torch.manual_seed(0)
    return Small()


def test_trained_and_fixed_constants_are_told_apart():
    """Parameters are trained; buffers, numbers and frozen parameters are not."""
    graph = capture(small(), (2, 5, 5))
    assert trainable(graph) == {
        "conv.weight", "conv.bias", "bn.weight", "bn.bias", "gain", "fc.bias"
    }  # fmt: skip
    assert statistics(graph) == {"bn.running_mean", "bn.running_var"}
    network = Network(graph)
    names = {network.constant_name(name) for name, _ in network.named_parameters()}
    assert names == trainable(graph)
    assert dict(network.named_constants()).keys() == graph.constants.keys()
    assert "offset:fixed" in graph.constants
    assert "fc.weight:fixed" in graph.constants


def test_training_equals_the_original_module():
    """The same optimizer steps give the same weights and running statistics."""
    module = small()
    module.drop.p = 0.0
    network = Network(capture(module, (2, 5, 5)), dtype=torch.float64).train()
    module = module.double().train()
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizers = [torch.optim.SGD(ps, 0.1) for ps in (trained, network.parameters())]
    for step in range(5):
        x = torch.randn(
            6, 2, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(step)
        )
        for model, optimizer in zip((module, network), optimizers):
            out = model(x)
            loss = (out if isinstance(out, torch.Tensor) else out[0]).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    state = module.state_dict()
    graph = network.to_graph()
    for name, value in graph.constants.items():
        path = name.removesuffix(":fixed")
        if path in state:
            expected = state[path].numpy().reshape(value.shape)
            assert np.allclose(value, expected, rtol=1e-9, atol=1e-12), name


def test_dropout_acts_in_training_only():
    """Two training passes differ, two evaluation passes do not."""
    network = Network(capture(small(), (2, 5, 5)))
    x = torch.randn(4, 2, 5, 5)
    assert not torch.equal(network.train()(x)[0], network(x)[0])
    assert torch.equal(network.eval()(x)[0], network(x)[0])


def test_every_tensor_is_given_by_name():
    """forward_all returns inputs and all intermediate tensors with the declared shapes."""
    graph = capture(small(), (2, 5, 5))
    tensors = Network(graph).eval().forward_all(torch.randn(3, 2, 5, 5))
    assert tensors.keys() == graph.shapes.keys()
    assert all(tuple(t.shape) == (3, *graph.shapes[n]) for n, t in tensors.items())


@pytest.mark.parametrize("name", ["weight", "training", "a.b/c~d", "graph", "forward", "..", "T"])
def test_any_constant_name_can_be_a_parameter(name):
    """Escaped names are legal in torch and come back unchanged."""
    graph = capture(nn.Linear(3, 2, bias=False), (3,))
    node = graph.nodes[0]
    renamed = type(graph)(
        graph.name, graph.inputs, graph.outputs,
        (type(node)(node.name, node.op, (graph.inputs[0], name), node.outputs),),
        graph.shapes, {name: graph.constants["weight"]},
    )  # fmt: skip
    network = Network(renamed)
    ((key, _),) = network.named_parameters()
    assert network.constant_name(key) == name
    assert np.array_equal(network.to_graph().constants[name], graph.constants["weight"])
    again = Network(renamed)
    again.load_state_dict(network.state_dict())


def test_network_pickles_for_worker_processes():
    """A network sent to another process computes the same."""
    network = Network(capture(small(), (2, 5, 5))).eval()
    again = pickle.loads(pickle.dumps(network))
    x = torch.randn(2, 2, 5, 5)
    assert torch.equal(again(x)[0], network(x)[0])


def test_wrong_inputs_are_explained():
    """Shape and number of inputs are checked against the graph."""
    network = Network(capture(small(), (2, 5, 5)))
    with pytest.raises(InputError, match=r"expected \(batch, 2, 5, 5\)"):
        network(torch.randn(2, 5, 5))
    with pytest.raises(InputError, match="got 2 inputs; expected 1: x"):
        network(torch.randn(1, 2, 5, 5), torch.randn(1))

"""Core's training stage."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tests.core.training.toys import network, run

from nibblefit.defaults.train import train
from nibblefit.errors import PluginError
from nibblefit.models import Model
from nibblefit.nn.capture import capture
from nibblefit.nn.network import Network
from nibblefit.training.parts_library import L1Penalty

pytest.importorskip("lightning", reason="extra 'train' is not installed")


def prepared(folder, parts=(), phase="float", **settings):
    """Return a run whose hooks answer as core does, and a model."""
    hooks = SimpleNamespace(
        network=lambda _, model: Network(model.graph), regularize=lambda *_: parts
    )
    made = replace(run(folder, **settings), hooks=hooks, step_options={"phase": phase})
    return made, Model(capture(network().eval(), (1, 6, 6)))


def test_model_comes_back_trained(tmp_path):
    """Weights change, masks hold, phase and history are recorded after earlier history."""
    made, model = prepared(tmp_path, [L1Penalty(1e-4)], phase="recover", epochs=2)
    name = next(n for n in model.graph.constants if n.startswith("conv.weight"))
    mask = np.arange(36).reshape(4, 1, 3, 3) % 2 == 0
    model = replace(model, masks={name: mask}, history=({"epoch": 1.0},))
    found = train(made, model)
    assert found.phase == "recover"
    assert [record["epoch"] for record in found.history] == [1.0, 1.0, 2.0]
    assert np.array_equal(found.graph.constants[name] != 0, mask)
    assert not np.array_equal(found.graph.constants[name], model.graph.constants[name])
    assert found.masks.keys() == {name}
    assert any("kept epoch" in line for line in made.reporter.said)


def test_zero_epochs_return_the_model(tmp_path):
    """With no epochs the very same model comes back."""
    made, model = prepared(tmp_path, epochs=0)
    assert train(made, model) is model


def test_network_without_graph_is_refused(tmp_path):
    """A module of a target that lacks to_graph is named."""
    made, model = prepared(tmp_path, epochs=1)
    made.hooks.network = lambda *_: network()
    with pytest.raises(PluginError, match="TinyNet"):
        train(made, model)

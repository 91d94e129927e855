"""The vendor's pruner and ours, case by case: kept filters, parameters and outputs.

Vectors: tao_tensorflow2_backend, commit c252179a, run on seeded Keras networks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tao.pruning.keras_graphs import graph_of

from nibblefit.ir.graph import Graph
from nibblefit.nn.network import Network
from nibblefit.pruning.coupling import couple
from nibblefit.pruning.cutting import Cut, cut
from nibblefit_tao.pruning.decisions import decide, rank
from nibblefit_tao.pruning.scores import class_scores
from nibblefit_tao.pruning.settings import Criterion, Normalizer, PruneSettings

NETWORKS = ("plain", "residual")


def vectors(shared: Path, network: str) -> tuple[dict[str, Any], Graph]:
    """Return what was recorded, and the network."""
    folder = shared / "vendor" / "tao" / "prune"
    recorded = json.loads((folder / f"{network}_expected.json").read_text())
    return recorded, graph_of(recorded["architecture"], np.load(folder / f"{network}_weights.npz"))


def settings_of(case: dict[str, Any]) -> PruneSettings:
    """Return the parameters of a case."""
    found = case["params"]
    return PruneSettings(
        Normalizer(found["normalizer"]), Criterion(found["equalization_criterion"]),
        found["granularity"], found["threshold"], found["min_num_filters"],
        (*found["excluded"], *case["force_excluded"]),
    )  # fmt: skip


def pruned(graph: Graph, case: dict[str, Any]) -> Cut:
    """Return our cut for a case."""
    coupling, settings = couple(graph), settings_of(case)
    return decide(coupling, rank(coupling, settings), settings.threshold)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_layer_of_every_case_keeps_the_vendors_filters(shared: Path, network: str) -> None:
    """All indices of all 29 cases, batch norms included, and the count of parameters."""
    recorded, graph = vectors(shared, network)
    compared = 0
    for number, case in enumerate(recorded["cases"]):
        what = pruned(graph, case)
        small = cut(what)
        for layer, kept in case["kept"].items():
            stays = what.stays(what.coupling.tensors[layer].ids)
            assert np.flatnonzero(stays).tolist() == kept, f"case {number}, layer {layer}"
            compared += 1
        parameters = sum(value.size for value in small.constants.values())
        assert parameters == case["params_after"], f"case {number}"
    assert len(recorded["cases"]) == 29
    assert compared > 29 * 5


@pytest.mark.parametrize("network", NETWORKS)
def test_normalized_scores_are_the_vendors(shared: Path, network: str) -> None:
    """Scores of layers that stand alone equal the recorded ones but for the order of sums."""
    recorded, graph = vectors(shared, network)
    case = recorded["cases"][0]
    for group in couple(graph).groups:
        if len(group.members) == 1:
            theirs = np.asarray(case["layer_stats"][group.name], dtype=np.float32)
            ours = class_scores(graph, group, settings_of(case))
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("number", [None, 3, 8, 13])
def test_pruned_networks_compute_the_vendors_outputs(
    shared: Path, network: str, number: int | None
) -> None:
    """The recorded outputs, unpruned and of three cases, to the rounding of float32."""
    recorded, graph = vectors(shared, network)
    io = np.load(shared / "vendor" / "tao" / "prune" / f"{network}_io.npz")
    if number is not None:
        graph = cut(pruned(graph, recorded["cases"][number]))
    x = torch.tensor(io["x"].transpose(0, 3, 1, 2).astype(np.float64))
    with torch.no_grad():
        ours = Network(graph, torch.float64).eval()(x)[0].numpy()
    theirs = io["y_unpruned" if number is None else f"y_case{number}"]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())

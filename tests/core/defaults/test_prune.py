"""Core's pruning stage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.training.toys import network, run

from nibblefit.defaults.prune import PruneSettings, magnitude_masks, prune
from nibblefit.errors import RecipeError
from nibblefit.models import Model
from nibblefit.nn.capture import capture

GRAPH = capture(network().eval(), (1, 6, 6))
WEIGHTS = {n: v for n, v in GRAPH.constants.items() if n in ("conv.weight", "linear.weight")}


@given(st.integers(0, 99), st.sampled_from(["global", "layer"]))
def test_the_smallest_go_and_the_count_is_exact(percent, scope):
    """Exactly the asked share is removed, and nothing kept is smaller than what was removed."""
    share = percent / 100
    masks = magnitude_masks(GRAPH, PruneSettings(share, scope))
    assert masks.keys() == WEIGHTS.keys()
    groups = [[n] for n in masks] if scope == "layer" else [list(masks)]
    for group in groups:
        kept = np.concatenate([masks[n].ravel() for n in group])
        sizes = np.concatenate([np.abs(WEIGHTS[n]).ravel() for n in group])
        assert (~kept).sum() == round(share * kept.size)
        if kept.any() and not kept.all():
            assert sizes[~kept].max() <= sizes[kept].min()


def test_pruned_weights_stay_pruned():
    """A second pruning counts and keeps the first one's zeros."""
    first = magnitude_masks(GRAPH, PruneSettings(0.3))
    second = magnitude_masks(GRAPH, PruneSettings(0.6), first)
    for name, mask in second.items():
        assert not (mask & ~first[name]).any()
        assert (~mask).sum() == round(0.6 * mask.size)


def test_layers_are_chosen_by_glob():
    """`layers` and `keep` choose by layer or weight name; unmatched globs are refused."""
    assert magnitude_masks(GRAPH, PruneSettings(0.5, layers=("conv*",))).keys() == {"conv.weight"}
    assert magnitude_masks(GRAPH, PruneSettings(0.5, keep=("conv*",))).keys() == {"linear.weight"}
    for settings in (PruneSettings(layers=("stem",)), PruneSettings(keep=("*",))):
        with pytest.raises(RecipeError, match="pruning"):
            magnitude_masks(GRAPH, settings)


def test_stage_records_masks_and_zeros(tmp_path):
    """The model's weights are zero where its masks say so; the source model is unchanged."""
    made = replace(run(tmp_path), step_options={"sparsity": 0.25, "scope": "global"})
    found = prune(made, Model(GRAPH))
    total = sum(mask.size for mask in found.masks.values())
    assert sum((~mask).sum() for mask in found.masks.values()) == round(0.25 * total)
    for name, mask in found.masks.items():
        assert not found.graph.constants[name][~mask].any()
        assert np.array_equal(found.graph.constants[name][mask], GRAPH.constants[name][mask])
    assert "25.0%" in made.reporter.said[-1]


def test_impossible_settings_are_refused(tmp_path):
    """A sparsity of one, or an unknown scope, is a recipe error."""
    for options in ({"sparsity": 1.0}, {"scope": "row"}):
        with pytest.raises(RecipeError, match="sparsity"):
            prune(replace(run(tmp_path), step_options=options), Model(GRAPH))

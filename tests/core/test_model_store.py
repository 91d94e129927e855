"""Models between stages: equal after a round trip, refused when damaged."""

from __future__ import annotations

import numpy as np
from tests.core.ir import everything
from tests.core.ir.damage import assert_refused, damaged_copies, rewrite

from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.store import digest
from nibblefit.model_store import digest_model, load_model, save_model
from nibblefit.models import Model

MODEL = Model(
    everything.floating(),
    masks=frozen_mapping({"w": np.ones((8, 2, 3, 3), dtype=bool)}),
    phase="qat",
    extra=frozen_mapping({"bits": {"conv": 4}, "names": ["a", "b"]}),
    arrays=frozen_mapping({"threshold": np.array([0.5, 2.0])}),
    history=(frozen_mapping({"loss": 1.5}), frozen_mapping({"loss": float("nan")})),
)


def test_models_come_back_equal(tmp_path):
    """Graph, masks, phase, extra, arrays and history, not-a-number included."""
    save_model(MODEL, tmp_path)
    loaded = load_model(tmp_path)
    assert digest(loaded.graph) == digest(MODEL.graph)
    assert loaded.phase == "qat"
    assert loaded.extra == MODEL.extra
    assert (loaded.masks["w"] == MODEL.masks["w"]).all()
    assert (loaded.arrays["threshold"] == MODEL.arrays["threshold"]).all()
    assert loaded.history[0] == {"loss": 1.5}
    assert np.isnan(loaded.history[1]["loss"])
    assert digest_model(loaded) == digest_model(MODEL)
    assert digest_model(loaded.with_graph(everything.floating(1))) != digest_model(MODEL)


def test_damaged_models_give_one_clear_error(tmp_path):
    """30 truncated or bit-flipped copies."""
    save_model(MODEL, tmp_path / "model")
    for damaged in damaged_copies(tmp_path / "model", tmp_path, 30, seed=2):
        assert_refused(load_model, damaged)


def test_forged_models_are_refused(tmp_path):
    """A mask that is no mask, and a history that is no list."""
    save_model(MODEL, tmp_path)
    rewrite(tmp_path / "model.json", lambda c: c["body"].update(history=3))
    assert_refused(load_model, tmp_path)
    number = frozen_mapping({"w": np.ones(3)})
    save_model(Model(MODEL.graph, masks=number), tmp_path)
    assert "mask 'w' is float64" in assert_refused(load_model, tmp_path)

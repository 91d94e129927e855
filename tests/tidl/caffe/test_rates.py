"""Learning-rate multipliers of a Caffe file reach the optimizer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.tidl.caffe.networks import header, imported, layer

from nibblefit.models import Model
from nibblefit.nn.network import Network
from nibblefit.recipe import Recipe, TrainSection
from nibblefit.runner import run
from nibblefit.training.naming import parameters_by_name
from nibblefit.training.optimizers import FACTOR, build_optimizer
from nibblefit.training.parts import ParameterGroup, TrainingPart
from nibblefit.workspace import open_run
from nibblefit_tidl.caffe.rates import RATES, FileRates, with_file_rates, with_rates
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.sparsity.options import L1, STAGE
from nibblefit_tidl.sparsity.regularizing import parts_for

_FILL = 'weight_filler { type: "xavier" }'
_CONV = f"convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 {_FILL} }}"
_FC = f"inner_product_param {{ num_output: 10 {_FILL} }}"
TEXT = (
    header(1, 8, 8)
    + layer("a", "Convolution", f"param {{ lr_mult: 1 }} param {{ lr_mult: 2 }} {_CONV}")
    + layer("b", "Convolution", f"param {{ lr_mult: 0 }} param {{ lr_mult: 0 }} {_CONV}", "a")
    + layer("c", "Convolution", _CONV, "b")
    + layer("fc", "InnerProduct", f"param {{ lr_mult: 10 }} param {{ lr_mult: 20 }} {_FC}", "c")
)


def recipe(folder: Path, **sections: Any) -> Recipe:
    """Return a recipe that trains from the file."""
    (folder / "net.prototxt").write_text(TEXT)
    return Recipe.model_validate({
        "model": {"source": "net.prototxt", "arguments": {"missing": "fill"}},
        "target": {"name": "tidl-classic", "sparsify": False},
        "train": {"epochs": 1, "optimizer": "sgd", "learning_rate": 1e-3, "batch_size": 64},
        "folder": str(folder), **sections,
    })  # fmt: skip


def prepared(folder: Path) -> Model:
    """Return the model of the file with what it says of rates."""
    return with_file_rates(Model(imported(folder, TEXT).graph), recipe(folder))


def test_the_note_counts_every_multiplier(tmp_path: Path) -> None:
    """Frozen ones and all others; a file that says nothing has no note."""
    (note,) = imported(tmp_path, TEXT).notes
    assert "parameters 2 at 0 (frozen), 1 at 1, 1 at 2, 1 at 10, 1 at 20" in note
    plain = header(1, 8, 8) + layer("a", "Convolution", _CONV)
    assert imported(tmp_path, plain).notes == ()


def test_multipliers_are_noted_by_constant(tmp_path: Path) -> None:
    """Those that are not 1 and can be trained; other sources have none."""
    model = prepared(tmp_path)
    assert model.extra[RATES] == {"a.bias": 2.0, "fc.weight": 10.0, "fc.bias": 20.0}
    other = recipe(tmp_path, model={"source": "net.py:build"})
    assert RATES not in with_file_rates(Model(model.graph), other).extra
    assert with_rates((), Model(model.graph)) == ()


def _rates(model: Model, parts: tuple[TrainingPart, ...], **train: Any) -> dict[str, Any]:
    """Return parameter → (factor, decay) as the optimizer has them."""
    network = Network(model.graph)
    settings = TrainSection(optimizer="sgd", weight_decay=0.5, **train)
    optimizer = build_optimizer(network, settings, parts)
    names = {id(value): name for name, value in parameters_by_name(network).items()}
    return {
        names[id(one)]: (group[FACTOR], group["weight_decay"])
        for group in optimizer.param_groups
        for one in group["params"]
    }


def test_the_optimizer_has_a_group_per_multiplier(tmp_path: Path) -> None:
    """With the decay of the stage: none on biases, the recipe's on weights."""
    model = prepared(tmp_path)
    run_: Any = SimpleNamespace(recipe=recipe(tmp_path), step="l1", step_options={STAGE: L1})
    parts = with_rates(parts_for(run_, model, ClassicOptions(bias_rate=3.0)), model)
    found = _rates(model, parts)
    assert found == {
        "a.weight": (1.0, 0.5), "a.bias": (2.0, 0.0), "c.weight": (1.0, 0.5),
        "c.bias": (3.0, 0.0), "fc.weight": (10.0, 0.5), "fc.bias": (20.0, 0.0),
    }  # fmt: skip


def test_the_recipe_s_groups_come_first(tmp_path: Path) -> None:
    """And what a part freezes stays frozen."""
    model = prepared(tmp_path)
    groups = ({"patterns": ["fc.weight"], "learning_rate_factor": 0.5},)
    assert _rates(model, with_rates((), model), parameter_groups=groups)["fc.weight"][0] == 0.5

    class Frozen(TrainingPart):
        def parameter_groups(self, network: object) -> tuple[ParameterGroup, ...]:
            return (ParameterGroup(("fc.*",), 0.0),)

    parts = (FileRates((Frozen(),), model.extra[RATES]), Frozen())
    assert "fc.weight" not in _rates(model, parts)


@pytest.mark.extra("train")
def test_training_from_a_file_moves_layers_by_their_multiplier(tmp_path: Path) -> None:
    """A run: frozen weights stay, the journal has the note, fast layers move further."""
    run(recipe(tmp_path), tmp_path / "run", until="initial")
    opened = open_run(tmp_path / "run")
    before, after = (opened.model(name).graph.constants for name in ("prepare", "initial"))
    moved = {name: float(abs(after[name] - before[name]).max()) for name in before}
    frozen = [name for name in before if name.startswith("b.")]
    assert frozen
    assert all(moved[name] < 1e-7 for name in frozen)  # drawn in float64, stored in float32
    assert moved["fc.bias"] > 4 * moved["c.bias"]
    assert any("lr_mult" in line.read_text() for line in (tmp_path / "run").rglob("*journal*"))

"""Specs as recipes and back."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest

from nibblefit.errors import InputError, UnsupportedError
from nibblefit.recipe_file import read_recipe, target_options
from nibblefit_tao.specs.conversion.from_yaml import yaml_to_recipe
from nibblefit_tao.specs.conversion.to_recipe import to_recipe
from nibblefit_tao.specs.conversion.to_spec import to_spec
from nibblefit_tao.specs.typed import Spec, read_spec
from nibblefit_tao.specs.yaml import read_yaml_spec
from nibblefit_tao.target import TARGET

CONVERTED = (
    "ssd_default_spec.txt", "ssd_train_own.txt", "ssd_retrain_own.txt",
    "detectnet_v2_default_spec.txt", "classification_tf1_default_spec.txt",
    "resnet101_imagenet2012.txt",
)  # fmt: skip
YAMLS = (
    "classification_tf2_tao_voc_specs_spec.yaml",
    "classification_tf2_tao_voc_specs_spec_retrain.yaml",
    "classification_tf2_tao_voc_specs_spec_retrain_qat.yaml",
    "efficientdet_tf2_specs_spec_retrain_qat.yaml", "ocdnet_specs_prune.yaml",
    "pointpillars_specs_pointpillars_retrain.yaml", "rtdetr_quantize.yaml",
)  # fmt: skip


def spec_of(shared: Path, name: str) -> Spec:
    """Read a vendor spec."""
    return read_spec(shared / "vendor" / "tao" / "specs" / name)


@pytest.mark.parametrize("name", CONVERTED)
def test_converted_specs_are_valid_recipes(shared: Path, tmp_path: Path, name: str) -> None:
    """The text is a recipe that reads, with the target's options."""
    path = tmp_path / "recipe.toml"
    path.write_text(to_recipe(spec_of(shared, name)).text())
    recipe = read_recipe(path)
    assert target_options(recipe, TARGET.info) is not None


def test_the_pair_of_specs_becomes_one_recipe(shared: Path, tmp_path: Path) -> None:
    """First training and retraining, with their own rates and regularizers."""
    converted = to_recipe(
        spec_of(shared, "ssd_train_own.txt"), spec_of(shared, "ssd_retrain_own.txt")
    )
    path = tmp_path / "recipe.toml"
    path.write_text(converted.text())
    recipe = read_recipe(path)
    train, retrain = recipe.train_for("train"), recipe.train_for("retrain")
    assert (train.batch_size, retrain.batch_size) == (16, 32)
    assert train.schedule_options["soft_start"] == 0.15
    assert retrain.schedule_options["annealing"] == 0.6
    assert math.isclose(train.learning_rate * train.schedule_options["floor"], 5e-5)
    options = target_options(recipe, TARGET.info)
    assert (options.regularizer, options.retrain_regularizer) == ("L1", "NO_REG")
    assert recipe.task.options["ratios"][0] == [2.0, 0.5, 3.0, 1 / 3]
    assert recipe.data.options["classes"]["van"] == "car"
    assert recipe.data.mean == (123.7, 116.8, 103.9)


def test_what_has_no_counterpart_is_told_with_its_line(shared: Path) -> None:
    """Every field of the spec is carried over or named."""
    notes = to_recipe(spec_of(shared, "detectnet_v2_default_spec.txt")).notes
    assert any("color_augmentation" in note and note.startswith("line ") for note in notes)
    assert not any("num_epochs" in note for note in notes)
    assert any("ground_truth_overlap.car is ignored: detections are judged" in n for n in notes)
    assert any("visualizer.enabled is ignored: it says how TAO runs" in note for note in notes)
    assert not any("vflip_probability" in note for note in notes)


def leaves(values: Any, path: str = "") -> dict[str, Any]:
    """Flatten nested values."""
    if isinstance(values, dict):
        return {
            k: v for key, one in values.items() for k, v in leaves(one, f"{path}.{key}").items()
        }
    if isinstance(values, list):
        return {k: v for i, one in enumerate(values) for k, v in leaves(one, f"{path}.{i}").items()}
    return {path: values}


@pytest.mark.parametrize("name", CONVERTED)
def test_recipes_are_written_back(shared: Path, tmp_path: Path, name: str) -> None:
    """Unchanged, every field has its value again; a change of the recipe arrives in the spec."""
    spec = spec_of(shared, name)
    tables = tomllib.loads(to_recipe(spec).text())
    path = tmp_path / "again.txt"
    path.write_text(to_spec(tables, spec))
    before, after = leaves(dict(spec.values)), leaves(dict(read_spec(path).values))
    for key, value in before.items():
        if isinstance(value, float):
            assert math.isclose(after[key], value, rel_tol=1e-9), key
        else:
            assert after[key] == value, key
    tables["train"]["train"]["epochs"] = 7
    path.write_text(to_spec(tables, spec))
    field = (
        ".train_config.n_epochs" if spec.kind == "classification" else ".training_config.num_epochs"
    )
    assert leaves(dict(read_spec(path).values))[field] == 7


def test_other_kinds_are_read_and_refused_by_name(shared: Path) -> None:
    """Faster R-CNN has no recipe; mixed pairs and bad values are refused with their line."""
    with pytest.raises(UnsupportedError, match="spec for faster_rcnn, which is read but has no"):
        to_recipe(spec_of(shared, "frcnn_resnet10_qat_spec.txt"))
    with pytest.raises(UnsupportedError, match="which no recipe describes"):
        to_spec({}, spec_of(shared, "frcnn_resnet10_qat_spec.txt"))
    with pytest.raises(InputError, match="give two specs of the same network"):
        to_recipe(spec_of(shared, "ssd_train_own.txt"),
                  spec_of(shared, "resnet101_imagenet2012.txt"))  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("3.00000002618e-09", "2.0", r"line \d+: training_config.regularizer.weight is 2"),
        ("[1.0, 2.0, 0.5, 3.0, 0.33]", "[2.0]", "has a level without the ratio 1.0"),
        ("[0.1, 0.1, 0.2, 0.2]", "1 +", r"line 7: dssd_config.variances is '1 \+'"),
        ("min_learning_rate: 5e-5", "min_learning_rate: 5", "rises from 5"),
    ],
)
def test_values_out_of_range_are_refused_by_line(
    shared: Path, tmp_path: Path, old: str, new: str, words: str
) -> None:
    """Checks of TAO's own, with the place."""
    text = (shared / "vendor" / "tao" / "specs" / "ssd_default_spec.txt").read_text()
    path = tmp_path / "spec.txt"
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=words):
        to_recipe(read_spec(path))


@pytest.mark.parametrize("name", YAMLS)
def test_every_yaml_spec_is_read(shared: Path, tmp_path: Path, name: str) -> None:
    """Classification becomes a recipe, others are refused by name."""
    spec = read_yaml_spec(shared / "vendor" / "tao" / "specs" / name)
    if not name.startswith("classification"):
        with pytest.raises(
            UnsupportedError, match=r"is a spec for .*, which is read but has no recipe"
        ):
            yaml_to_recipe(spec)
        return
    path = tmp_path / "recipe.toml"
    path.write_text(yaml_to_recipe(spec).text())
    recipe = read_recipe(path)
    assert recipe.train_for("train").epochs == 80
    assert recipe.train_for("train").schedule_options["cut_short"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "line 1: "),
        ("5", "holds no blocks"),
        ("results_dir: x\ntrian: {}\n", "line 2: no task of TAO has a block 'trian'; did you mean"),
        (
            "dataset: {num_classes: 2}\nmodel: {input_width: wide}\ntrain: {lr_config: {}}",
            "line 2: 'model.input_width' is 'wide'",
        ),
        ("dataset: 3\ntrain: {lr_config: {}}", "line 1: 'dataset' holds no fields"),
    ],
)
def test_damaged_yaml_is_refused_by_line(tmp_path: Path, text: str, words: str) -> None:
    """One line each."""
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        yaml_to_recipe(read_yaml_spec(path))


def test_colours_of_ssd_are_carried_over(shared: Path, tmp_path: Path) -> None:
    """Amounts and shares as they stand, hue in degrees; gray pictures have no colours."""
    text = (shared / "vendor" / "tao" / "specs" / "ssd_train_own.txt").read_text()
    colours = "brightness: 32 contrast: 0.5 saturation: 0.4 hue: 18 random_flip: 0.5"
    wanted = {"flip": True, "brightness": 32.0, "contrast": 0.5, "saturation": 0.4, "hue": 36.0}
    for channels, keys in ((3, list(wanted)), (1, ["flip", "brightness", "contrast"])):
        own = text.replace("output_channel: 3", f"output_channel: {channels} {colours}")
        (tmp_path / "own.txt").write_text(own)
        converted = to_recipe(read_spec(tmp_path / "own.txt"))
        found = tomllib.loads(converted.text())["data"]["augment"]
        assert list(found) == keys
        assert found == pytest.approx({key: wanted[key] for key in keys})


def test_ssd_is_judged_as_tao_judges(shared: Path) -> None:
    """Free boxes, absent classes as zero, whole pixels."""
    tables = tomllib.loads(to_recipe(spec_of(shared, "ssd_train_own.txt")).text())
    options = tables["task"]["options"]
    assert (options["claims"], options["absent"], options["whole_pixels"]) == ("free", "zero", True)

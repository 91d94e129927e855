"""What of a spec a recipe keeps, and what it says of the rest."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from nibblefit.errors import InputError, NibblefitError
from nibblefit_tao.specs.conversion.from_yaml import yaml_to_recipe
from nibblefit_tao.specs.conversion.to_recipe import Converted, to_recipe
from nibblefit_tao.specs.conversion.to_spec import to_spec
from nibblefit_tao.specs.typed import read_spec
from nibblefit_tao.specs.yaml import read_yaml_spec

SSD, DETECTNET = "ssd_train_own.txt", "detectnet_v2_default_spec.txt"
CLASSES, STEPS = "resnet101_imagenet2012.txt", "cosine { learning_rate: 0.04 soft_start: 0.0 }"
TWO = "classification_tf2_tao_voc_specs_spec"


@pytest.fixture
def changed(shared: Path, tmp_path: Path) -> Any:
    """Return a function (name, old, new) → path of a vendor's spec with other text."""

    def write(name: str, *pairs: str) -> Path:
        text = " ".join((shared / "vendor" / "tao" / "specs" / name).read_text().split(" "))
        for old, new in zip(pairs[::2], pairs[1::2], strict=True):
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}{Path(name).suffix}"
        path.write_text(text)
        return path

    return write


def recipe(path: Path, retrain: Path | None = None) -> Converted:
    """Convert files."""
    return to_recipe(read_spec(path), read_spec(retrain) if retrain else None)


def test_gray_pictures_make_a_network_of_one_channel(changed: Any) -> None:
    """Its first convolution, the input and the mean."""
    for name, old, new, mean in (
        (SSD, "output_channel: 3", "output_channel: 1", [117.3786]),
        (DETECTNET, "output_image_channel: 3", "output_image_channel: 1", None),
    ):
        tables = recipe(changed(name, old, new)).tables
        assert tables["model"]["input_shape"][0] == 1
        assert tables["model"]["arguments"]["channels"] == 1
        assert tables["data"]["options"]["gray"]
        assert tables["data"].get("mean") == mean


def test_detectnet_is_fed_from_0_to_1_and_ssd_from_0_to_255(changed: Any) -> None:
    """Full scale is 256, so 255 becomes 1 and 255."""
    assert recipe(changed(DETECTNET)).tables["data"]["range"][1] * 255 / 256 == pytest.approx(1.0)
    assert recipe(changed(SSD)).tables["data"]["range"] == [0.0, 256.0]


def test_ssd_is_trained_by_sgd_whatever_the_spec_says(changed: Any) -> None:
    """As its trainer does; the note names the line."""
    found = recipe(
        changed(SSD, "  regularizer", "  optimizer { adam { beta1: 0.8 } }\n  regularizer")
    )
    assert found.tables["train"]["train"]["optimizer"] == "sgd"
    assert any(
        "training_config.optimizer is ignored: TAO trains SSD by SGD" in n for n in found.notes
    )
    assert recipe(changed(DETECTNET)).tables["train"]["train"]["optimizer"] == "adam"


def test_frozen_blocks_stay_frozen_in_the_first_training(shared: Path, changed: Any) -> None:
    """Convolutions of the backbone; the retraining learns all."""
    again = shared / "vendor" / "tao" / "specs" / "ssd_retrain_own.txt"
    found = recipe(changed(SSD, "freeze_blocks: 0", "freeze_blocks: 0 freeze_blocks: 2"), again)
    steps = found.tables["train"]
    assert steps["train"]["freeze"] == ["backbone.conv1.*", "backbone.block_2?.conv*"]
    assert "freeze" not in steps["retrain"]
    with pytest.raises(InputError, match=r"freeze_blocks names block 7; expected 0 to 4"):
        recipe(changed(SSD, "freeze_blocks: 0", "freeze_blocks: 7"))


def test_the_retraining_follows_its_spec_or_the_first(changed: Any) -> None:
    """Without one it repeats the training; what else differs is named; its QAT is taken."""
    alone = recipe(changed(SSD)).tables["train"]
    assert alone["retrain"] == alone["train"]
    found = recipe(
        changed(SSD), changed("ssd_retrain_own.txt", "enable_qat: false", "enable_qat: true",
                              "top_k: 200", "top_k: 100"),
    )  # fmt: skip
    assert found.tables["target"]["qat"]
    assert found.tables["train"]["qat"]["batch_size"] == 32
    assert any("other settings for [task] than the first spec" in note for note in found.notes)


def test_validation_pictures_are_the_test_too(changed: Any) -> None:
    """As in TAO, and said; roots are joined."""
    found = recipe(changed(SSD, 'label_directory_path: "data/val', 'root_path: "/r" '
                           'label_directory_path: "data/val'))  # fmt: skip
    options = found.tables["data"]["options"]
    assert options["test_images"] == options["validation_images"] == "/r/data/val/images"
    assert any(
        "the validation pictures choose the epoch and are the test" in n for n in found.notes
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("num_epochs: 80", "num_epochs: 0", "training_config.num_epochs is 0; expected 1 to"),
        ("num_epochs: 80", "num_epochs: 4294967295", "num_epochs is 4294967295; expected 1 to"),
        ("0.05, 0.1, 0.25, 0.4,", "0.05, 0.1,", "ssd_config.scales holds 5 numbers; expected 7"),
        ("0.1, 0.1, 0.2, 0.2", "0.1", "variances holds 1 numbers; expected 4"),
        ("[1.0, 2.0, 0.5,", "[1.0, -2.0, 0.5,", "is no list of ratios above 0"),
        ("annealing: 0.8", "annealing: 0.1", "rises until 0.15 and falls from 0.1"),
        ("confidence_threshold: 0.01", "confidence_threshold: 3", "task.options.score"),
        ("output_width: 300", "output_width: -3", "model.input_shape.2 makes no recipe"),
    ],
)  # fmt: skip
def test_values_that_no_run_takes_are_refused(changed: Any, old: str, new: str, words: str) -> None:
    """Before a recipe is written."""
    with pytest.raises(
        NibblefitError, match=r"expected|makes no recipe|task.options|rises|no list"
    ) as error:
        recipe(changed(SSD, old, new))
    assert words in str(error.value)


def test_schedules_with_patience_anneal_at_the_end(changed: Any) -> None:
    """Epochs become shares."""
    path = changed(
        DETECTNET, "soft_start_annealing_schedule", "early_stopping_annealing_schedule",
        "soft_start: 0.1", "soft_start_epochs: 12", "annealing: 0.7",
        "annealing_epochs: 30 patience_steps: 5",
    )  # fmt: skip
    step = recipe(path).tables["train"]["train"]
    assert step["schedule_options"]["soft_start"] == pytest.approx(0.1)
    assert step["schedule_options"]["annealing"] == pytest.approx(0.75)
    assert step["early_stop"] == 5


def test_a_changed_schedule_replaces_the_one_that_was_there(changed: Any, tmp_path: Path) -> None:
    """Of fields that exclude each other one stays; a changed rate of `step` arrives."""
    path = changed(CLASSES, "cosine {", "step { step_size: 25 gamma: 0.5", "soft_start: 0.0", "")
    tables = tomllib.loads(recipe(path).text())
    tables["train"]["train"]["learning_rate"] = 0.5
    (tmp_path / "again.txt").write_text(to_spec(tables, read_spec(path)))
    rates = read_spec(tmp_path / "again.txt").values["train_config"]["lr_config"]
    assert rates == {"step": {"step_size": 25, "gamma": 0.5, "learning_rate": 0.5}}
    tables["train"]["train"] |= {"schedule": "soft_start_cosine", "schedule_options": {}}
    (tmp_path / "again.txt").write_text(to_spec(tables, read_spec(path)))
    rates = read_spec(tmp_path / "again.txt").values["train_config"]["lr_config"]
    assert list(rates) == ["cosine"]


def test_anchors_and_losses_are_written_back(changed: Any, tmp_path: Path) -> None:
    """What changed, as text with lists; what did not keeps its arithmetic."""
    path = changed(SSD)
    tables = tomllib.loads(recipe(path).text())
    tables["task"]["options"] |= {"negatives": 5.0, "variances": [0.1, 0.1, 0.3, 0.3]}
    (tmp_path / "again.txt").write_text(to_spec(tables, read_spec(path)))
    network = read_spec(tmp_path / "again.txt").values["ssd_config"]
    assert network["neg_pos_ratio"] == 5.0
    assert network["variances"] == "[0.1, 0.1, 0.3, 0.3]"
    assert network["aspect_ratios_global"] == "[1.0, 2.0, 0.5, 3.0, 1.0/3.0]"


def test_yaml_pairs_become_one_recipe_with_qat(shared: Path) -> None:
    """Pruning from the first, quantized training from the second; notes name lines."""
    folder = shared / "vendor" / "tao" / "specs"
    found = yaml_to_recipe(read_yaml_spec(folder / f"{TWO}.yaml"),
                           read_yaml_spec(folder / f"{TWO}_retrain_qat.yaml"))  # fmt: skip
    assert found.tables["target"]["threshold"] == 0.68
    assert found.tables["target"]["qat"]
    assert found.tables["data"]["std"] == [0.229, 0.224, 0.225]
    assert any(note.startswith("line 1: results_dir is ignored") for note in found.notes)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  num_epochs: 80", "  num_epoch: 80", "line 15: 'train.num_epoch' is no field; did you"),
        ("soft_start: 0.05", "softstart: 0.05", "'train.lr_config.softstart' is no field; did you"),
        ("threshold: 0.68", "threshold: high", "'prune.threshold' is 'high', expected a number"),
        ("num_epochs: 80", "num_epochs: 0.5", "'train.num_epochs' is 0.5, expected a whole number"),
        ("'cosine'", "'stairs'", "'train.lr_config.scheduler' is 'stairs'"),
        ("'torch'", "'jax'", "'dataset.preprocess_mode' is 'jax', expected caffe, torch or tf"),
        ("'sgd'", "'lion'", "'train.optim_config.optimizer' is 'lion'"),
        ("num_epochs: 80", "num_epochs: " + "9" * 4000, "'train.num_epochs' is too large"),
    ],
)  # fmt: skip
def test_mistakes_in_yaml_name_line_and_field(changed: Any, old: str, new: str, words: str) -> None:
    """Misspelt fields name the nearest one."""
    with pytest.raises(InputError) as error:
        yaml_to_recipe(read_yaml_spec(changed(f"{TWO}.yaml", old, new)))
    assert words in str(error.value)

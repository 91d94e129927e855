"""Fields that the vendor's sample specs leave unset: each takes effect or is refused by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nibblefit.errors import InputError
from nibblefit_tao.specs.conversion.from_yaml import yaml_to_recipe
from nibblefit_tao.specs.conversion.to_recipe import Converted, to_recipe
from nibblefit_tao.specs.typed import read_spec
from nibblefit_tao.specs.yaml import read_yaml_spec

SIX = '"[[1.0, 2.0], [1.0, 2.0, 0.5], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0]]"'
GLOBAL = 'aspect_ratios_global: "[1.0, 2.0, 0.5, 3.0, 1.0/3.0]"'
COSINE = "cosine {\n      learning_rate: 0.04\n      soft_start: 0.0"
SOFT = (
    "soft_start_annealing_schedule { min_learning_rate: 5e-5 max_learning_rate: 2e-2 "
    "soft_start: 0.15 annealing: 0.8"
)
SCALES = 'scales: "[0.05, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85]"'


def converted(shared: Path, tmp_path: Path, name: str, old: str, new: str) -> Converted:
    """Convert a vendor's spec with other text."""
    text = (shared / "vendor" / "tao" / "specs" / name).read_text()
    assert old in text
    path = tmp_path / name
    path.write_text(text.replace(old, new, 1))
    return yaml_to_recipe(read_yaml_spec(path)) if path.suffix == ".yaml" else to_recipe(
        read_spec(path)
    )  # fmt: skip


CASES = [
    ("ssd", GLOBAL, f"aspect_ratios: {SIX}", "model/arguments/anchors", [3, 4, 3, 3, 3, 2]),
    ("ssd", SCALES, "min_scale: 0.2 max_scale: 0.8", "task/options/scales",
     pytest.approx([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])),
    ("ssd", SCALES, SCALES + ' offsets: "[0.4, 0.4, 0.4, 0.4, 0.4, 0.4]"',
     "task/options/offset", 0.4),
    ("ssd", SCALES, SCALES + ' steps: "[8, 8, 16, 32, 64, 100]"', "task/options/steps",
     [8, 8, 16, 32, 64, 100]),
    ("ssd", "checkpoint_interval: 10", "early_stopping { monitor: 'loss' patience: 4 }",
     "train/train/early_stop", 4),
    ("ssd", SOFT, SOFT.replace("start_ann", "start_cosine_ann").replace(" annealing: 0.8", ""),
     "train/train/schedule_options/cut_short", True),
    ("ssd", "output_channel: 3", "output_channel: 3 random_flip: 0.3", "data/augment/flip", True),
    ("tf1", COSINE, "step { step_size: 10 gamma: 0.5", "train/train/schedule_options/floor",
     pytest.approx(0.5**10)),
    ("tf1", "cosine {", "soft_anneal { annealing_divider: 4", "train/train/schedule_options/factor",
     0.25),
    ("tf1", "mixup_alpha: 0.2", 'preprocess_mode: "tf"', "data/range/0", -1.0),
    ("tf1", "mixup_alpha: 0.2", 'preprocess_mode: "torch"', "data/std/0", 0.229),
    ("tf1", 'type: "L2"', 'type: "None"', "target/regularizer", "NO_REG"),
    ("tf1", "n_layers: 101", "n_layers: 18", "model/arguments/pooling", True),
    ("tf2", "scheduler: 'cosine'", "scheduler: 'soft_anneal'", "train/train/schedule", "step"),
    ("tf2", "preprocess_mode: 'torch'", "image_mean: [1.0, 2.0, 3.0]", "data/mean", [3, 2, 1]),
    ("tf2", "threshold: 0.68", "excluded_layers: ['stem']", "target/excluded_layers", ["stem"]),
    ("tf2", "input_channels: 3", "input_channels: 1", "data/std", [0.226]),
]  # fmt: skip
NAMES = {
    "ssd": "ssd_train_own.txt", "tf1": "resnet101_imagenet2012.txt",
    "tf2": "classification_tf2_tao_voc_specs_spec.yaml",
}  # fmt: skip


@pytest.mark.parametrize(("kind", "old", "new", "key", "value"), CASES)
def test_rarer_fields_take_effect(  # noqa: PLR0917 - one per column
    shared: Path, tmp_path: Path, kind: str, old: str, new: str, key: str, value: Any
) -> None:
    """Each arrives in the recipe."""
    tables: Any = converted(shared, tmp_path, NAMES[kind], old, new).tables
    for part in key.split("/"):
        tables = tables[int(part) if part.isdigit() else part]
    assert tables == value


@pytest.mark.parametrize(
    ("kind", "old", "new", "words"),
    [
        ("ssd", GLOBAL, "", "ssd_config has no aspect ratios"),
        ("ssd", GLOBAL, 'aspect_ratios: "[[1.0], [1.0]]"', "holds 2 lists; expected 6"),
        ("ssd", SCALES, 'scales: "[[1], [2]]"', "is no flat list of numbers"),
        ("ssd", "output_channel: 3", "output_channel: 3 contrast: -1.0", "expected 0 or more"),
        ("tf1", 'type: "L2"', 'type: "L7"', "is 'L7'; expected L1, L2, None"),
        ("tf1", "weight_decay: 0.000015", "weight_decay: 2.0", "expected above 0 and below 1"),
        ("tf1", COSINE, "step { gamma: 3.0", "expected a falling rate"),
        ("tf1", "cosine {", "soft_anneal { annealing_divider: -4", "expected above 0"),
        ("tf1", 'size: "3,224,224"', 'size: "3,224"', "expected 'channels,height,width'"),
        ("tf1", "mixup_alpha: 0.2", 'preprocess_mode: "jax"', "expected caffe, torch or tf"),
        ("tf2", "threshold: 0.68", "granularity: 0", "makes no recipe"),
        ("tf2", "scheduler: 'cosine'", "scheduler: 'soft_anneal'\n    annealing_divider: 0",
         "expected above 0"),
    ],
)  # fmt: skip
def test_rarer_fields_out_of_range_are_refused(  # noqa: PLR0917 - one per column
    shared: Path, tmp_path: Path, kind: str, old: str, new: str, words: str
) -> None:
    """Line or key, and what was expected."""
    with pytest.raises(InputError) as error:
        converted(shared, tmp_path, NAMES[kind], old, new)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("kind", "old", "new", "words"),
    [
        ("ssd", SCALES, SCALES + ' offsets: "[0.4, 0.5, 0.5, 0.5, 0.5, 0.5]"', "differ from level"),
        ("ssd", "output_channel: 3", "output_channel: 3 random_flip: 0.3", "0.3 of them in TAO"),
        ("ssd", "  include_diff", '  data_sources { tfrecords_path: "t" }\n  include_diff',
         "of 2 the first is read"),
        ("tf1", "    sgd {", "    rmsprop { rho: 0.9 }\n    #", "rmsprop is replaced by adam"),
        ("tf1", '"Conv2D,Dense"', '"Dense"', "acts on all kernels"),
        ("tf1", "ImageNet2012/val", "elsewhere/val", "not read from where the spec says"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_said(  # noqa: PLR0917 - one per column
    shared: Path, tmp_path: Path, kind: str, old: str, new: str, words: str
) -> None:
    """A note above the recipe."""
    if new.endswith("#"):
        text = (shared / "vendor" / "tao" / "specs" / NAMES[kind]).read_text()
        start, end = text.index("    sgd {"), text.index("  batch_size_per_gpu")
        old, new = text[start:end], "    rmsprop { rho: 0.9 }\n  }\n"
    notes = converted(shared, tmp_path, NAMES[kind], old, new).notes
    assert any(words in note for note in notes)


def test_the_classes_of_a_folder_at_hand_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    """Paths of a spec start where TAO runs."""
    monkeypatch.chdir(tmp_path)
    spec = read_spec(root / "examples" / "tao" / "digits_spec.txt")
    assert "classes" not in to_recipe(spec).tables["model"]["arguments"]
    for name in "abc":
        (tmp_path / "digits" / "train" / name).mkdir(parents=True)
    assert to_recipe(spec).tables["model"]["arguments"]["classes"] == 3

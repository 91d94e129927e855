"""Text specs: the vendor's files, and the line of every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.errors import InputError
from nibblefit_tao.specs.arithmetic import evaluate
from nibblefit_tao.specs.typed import read_spec

FILES = {
    "ssd_default_spec.txt": "ssd", "ssd_train_own.txt": "ssd", "ssd_retrain_own.txt": "ssd",
    "classification_tf1_default_spec.txt": "classification",
    "resnet101_imagenet2012.txt": "classification", "detectnet_v2_default_spec.txt": "detectnet_v2",
    "frcnn_resnet10_qat_spec.txt": "faster_rcnn",
}  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), FILES.items())
def test_every_text_spec_is_read_and_its_kind_guessed(shared: Path, name: str, kind: str) -> None:
    """Every field of every file has a place in its schema."""
    spec = read_spec(shared / "vendor" / "tao" / "specs" / name)
    assert spec.kind == kind
    assert len(spec.lines) > 20


def test_values_have_types_and_lines(shared: Path) -> None:
    """Numbers, words, repeated fields, maps, and where they stand."""
    spec = read_spec(shared / "vendor" / "tao" / "specs" / "ssd_default_spec.txt")
    network = spec.values["dssd_config"]
    assert network["freeze_blocks"] == [0, 1]
    assert network["pred_num_channels"] == 128
    assert network["freeze_bn"] is False
    rate = "training_config.learning_rate.soft_start_annealing_schedule"
    assert spec.get(f"{rate}.max_learning_rate", 0) == 4e-2
    assert spec.get("training_config.regularizer.type", "") == "L1"
    assert len(spec.values["dataset_config"]["target_class_mapping"]) == 20
    assert spec.lines["dssd_config.arch"] == 8
    assert spec.get("dssd_config.alpha", 1.0) == 1.0
    assert not spec.has("ssd_config")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("random_sed: 42\n", "line 1: Experiment has no field 'random_sed'; did you mean "),
        ("random_seed: 42\nssd_config {\n  aspect_ratio: '[1.0]'\n}", "line 3: SSDConfig has no"),
        ("ssd_config {\n", "line 1: this block is never closed"),
        ("ssd_config { arch: resnet }", "is resnet; expected text in quotes"),
        ("ssd_config { nlayers: '18' }", 'is "18"; expected a value of type uint32'),
        ("ssd_config { nlayers: -1 }", "expected a whole number from 0"),
        ("ssd_config { nlayers: 1e3 }", "expected a whole number"),
        ("ssd_config { alpha: 1..5 }", "expected a number"),
        ("ssd_config { freeze_bn: maybe }", "expected true or false"),
        ("ssd_config { alpha: 1 }\nssd_config { alpha: 2 }", "line 2: 'ssd_config' stands there"),
        ("ssd_config { }\ndssd_config { }", "line 2: ssd_config and dssd_config exclude"),
        ("training_config { regularizer { type: L3 } }", "expected one of NO_REG"),
        ("dataset_config { target_class_mapping: 'car' }", "wants { key"),
        ("dataset_config { target_class_mapping { name: 'car' } }", "wants { key"),
        ("ssd_config: 7", "wants { … }, found '7'"),
        ("ssd_config { arch { } }", "wants a value, found a block"),
        ("ssd_config { arch ", "'arch' has no value"),
        ("ssd_config { arch } ", "found '}', expected ':'"),
        ("ssd_config { freeze_blocks: [0, 1", "this list is never closed"),
        ("ssd_config { @ }", "line 1: cannot read '@ }'"),
        ("ssd_config { 5: 1 }", "found '5', expected the name of a field"),
        ("# nothing\n", "holds no field"),
        ("a {" * 60, "nested too deeply"),
    ],
)
def test_mistakes_are_named_by_line(tmp_path: Path, text: str, words: str) -> None:
    """Unknown and misspelt fields, wrong types, broken syntax."""
    path = tmp_path / "spec.txt"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_spec(path, "ssd")
    assert words in str(error.value)


def test_all_wrong_fields_are_told_at_once(tmp_path: Path) -> None:
    """One line each."""
    path = tmp_path / "spec.txt"
    path.write_text("a: 1\nssd_config { b: 2 c: 3 }\n")
    with pytest.raises(InputError) as error:
        read_spec(path)
    assert str(error.value).count("has no field") == 3
    with pytest.raises(InputError, match="cannot read the spec"):
        read_spec(tmp_path / "none.txt")


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Nothing but an explained error."""
    path = tmp_path_factory.mktemp("spec") / "spec.txt"
    path.write_text(text, encoding="utf-8")
    try:
        read_spec(path)
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is right


def test_lists_are_arithmetic() -> None:
    """Numbers, lists and the four operations, nothing else."""
    assert evaluate("[1.0, 2.0, 1.0/3.0]") == [1.0, 2.0, 1 / 3]
    assert evaluate(" [[1, -2], [0.5*(2+1)]]") == [[1.0, -2.0], [1.5]]
    assert evaluate("7") == 7.0
    for text in ("", "[1, 'a']", "__import__('os')", "[1/0]", "1e999", "[x for x in y]", "2**99",
                 "True", "[" * 5000, "1" * 20_000):  # fmt: skip
        with pytest.raises(ValueError, match=r"numbers|letters"):
            evaluate(text)

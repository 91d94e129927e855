"""Model descriptions of the vendor's zoo."""

from __future__ import annotations

from pathlib import Path

import pytest

from nibblefit.errors import InputError
from nibblefit_tidl.configuration.names import names_in, repeated
from nibblefit_tidl.configuration.zoo import (
    ZooModel,
    provider_options,
    read_zoo_index,
    read_zoo_model,
    zoo_text,
)
from nibblefit_tidl.devices import DEVICES

GOOD = """task_type: classification
dataset_category: imagenet
calibration_dataset: imagenet
input_dataset: imagenet
preprocess:
  resize: 256
  crop: [224, 192]
  data_layout: NCHW
  reverse_channels: false
  backend: pil
session:
  session_name: onnxrt
  input_mean: [128.0]
  input_scale: [0.5]
  runtime_options:
    advanced_options:calibration_frames: 20
  model_path: a.onnx
  model_id: cl-1
"""


def descriptions(shared: Path) -> list[Path]:
    """Return the vendor's files but the index."""
    folder = shared / "vendor" / "tidl" / "osrt_configs"
    return sorted(path for path in folder.glob("*.yaml") if "index" not in path.name)


def test_every_description_of_the_vendor_is_read(shared: Path, tmp_path: Path) -> None:
    """All 41 parse, validate for every device, and survive their own file."""
    found = descriptions(shared)
    assert len(found) == 41
    for path in found:
        model = read_zoo_model(path)
        for device in DEVICES.values():
            provider_options(model, device)
        again = tmp_path / "again.yaml"
        again.write_text(zoo_text(model))
        assert read_zoo_model(again) == model, path.name


def test_what_the_descriptions_carry_is_there(shared: Path) -> None:
    """Normalization, options and 16-bit names of a detector, as its file states them."""
    (path,) = [p for p in descriptions(shared) if "yolox_nano_lite_416x416" in p.name]
    model = read_zoo_model(path)
    assert model.preprocess.resize_with_pad == (True, "corner")
    assert model.session.input_scale == (1.0, 1.0, 1.0)
    options = provider_options(model)
    assert options.meta_arch_type == 6
    names = names_in(options.output_feature_16bit_names_list)
    assert names == ("1033", "711", "712", "713", "727", "728", "729", "743", "744", "745")
    assert model.metric.label_offset_pred[11] == 13  # type: ignore[index]
    (small,) = [p for p in descriptions(shared) if "yolox_s_lite_640x640" in p.name]
    slip = provider_options(read_zoo_model(small)).output_feature_16bit_names_list
    assert repeated(slip) == ("728",)


def test_the_index_is_read(shared: Path) -> None:
    """The list of the zoo names every description that is here."""
    index = read_zoo_index(
        shared / "vendor" / "tidl" / "osrt_configs" / "modelzoo_configs_index.yaml"
    )
    assert len(index.configs) == 96
    assert index.configs["cl-6360"].endswith("regnetx-200mf_config.yaml")


def written(folder: Path, text: str) -> Path:
    """Write a description."""
    path = folder / "model.yaml"
    path.write_text(text)
    return path


def test_a_small_description_is_read(tmp_path: Path) -> None:
    """Defaults fill what is left out."""
    model = read_zoo_model(written(tmp_path, GOOD))
    assert isinstance(model, ZooModel)
    assert model.preprocess.crop == (224, 192)
    assert model.metric.label_offset_pred == 0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "  model_id: cl-1",
            "  model_ids: cl-1",
            r"model.yaml:18: there is no key 'session.model_i",
        ),
        ("  resize: 256", "  resize: 0", "model.yaml:6: 'preprocess.resize"),
        ("  data_layout: NCHW", "  data_layout: NC", "model.yaml:8: .*'NCHW' or 'NHWC'"),
        ("task_type: classification\n", "", "'task_type' is missing"),
        ("  input_scale: [0.5]", "  input_scale: [0.5, 1.0]", "model.yaml:14: input_mean has 1"),
        ("  input_scale: [0.5]", "  input_scale: [.inf]", "model.yaml:14: .*finite"),
        ("  input_scale: [0.5]", "  input_scale: [0x.5]", "model.yaml:14: .*number"),
        ("calibration_frames: 20", "calibration_frame: 20", "model.yaml:16: .*did you mean"),
        ("calibration_frames: 20", "calibration_frames: -3", "model.yaml:16: .*at least 1"),
        ("  backend: pil", "  backend: pil\n  backend: cv2", "'backend' is given twice"),
        ("  crop: [224, 192]", "  crop: [224", "not readable as YAML"),
        ("  crop: [224, 192]", "  crop: &a [*a]", "contains itself"),
    ],
)
def test_a_problem_is_named_with_its_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    """Unknown keys, wrong values and broken YAML have one clear message each."""
    assert old in GOOD
    with pytest.raises(InputError, match=words):
        read_zoo_model(written(tmp_path, GOOD.replace(old, new)))


@pytest.mark.parametrize(("text", "words"), [("", "is empty"), ("- 1\n", "not a mapping")])
def test_other_files_are_refused(tmp_path: Path, text: str, words: str) -> None:
    """A file of another kind ends in a sentence."""
    with pytest.raises(InputError, match=words):
        read_zoo_model(written(tmp_path, text))

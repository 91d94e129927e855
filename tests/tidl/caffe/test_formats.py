"""Caffe in recipes and on the command line; other front ends refused with the way in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.tidl.caffe.networks import header, layer

from nibblefit.cli import main
from nibblefit.errors import RecipeError, UnsupportedError
from nibblefit.ir.ops import Op
from nibblefit.nn.load import load_source
from nibblefit.plugins import Manager, load_target
from nibblefit.recipe import ModelSection
from nibblefit_tidl.caffe.entry import import_caffe
from nibblefit_tidl.caffe.formats import MODEL_FORMATS
from nibblefit_tidl.caffe.writing import write_caffe

NET = (
    header(3, 8, 8)
    + layer("c", "Convolution", "convolution_param { num_output: 4 kernel_size: 3 "
            "weight_filler { type: 'msra' } }")
    + layer("r", "ReLU", bottom="c", top="c")
    + layer("fc", "InnerProduct", "inner_product_param { num_output: 2 }", "c")
    + layer("prob", "Softmax", bottom="fc")
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with net.prototxt and net.caffemodel."""
    (tmp_path / "net.prototxt").write_text(NET)
    graph = import_caffe(tmp_path / "net.prototxt", seed=9).graph
    write_caffe(graph, tmp_path / "again.prototxt", tmp_path / "net.caffemodel")
    return tmp_path


def test_a_recipe_reads_prototxt_and_caffemodel(folder: Path) -> None:
    """Weights come from the caffemodel, else from the recipe's seed; the end can be cut off."""

    def load(seed: int = 1, **section: object):
        return load_source(ModelSection(source="net.prototxt", **section), folder, (),
                           formats=MODEL_FORMATS, seed=seed)  # fmt: skip

    trained = load(weights="net.caffemodel")
    drawn = load(seed=9)
    assert (trained.constants["c.weight"] == drawn.constants["c.weight"]).all()
    assert (load(seed=2).constants["c.weight"] != drawn.constants["c.weight"]).any()
    assert load(arguments={"end": "scores"}).outputs == ("fc",)
    assert trained.outputs == ("prob",)
    wide = load(input_shape=[3, 16, 8], arguments={"missing": "fill", "phase": "train"})
    assert wide.shapes["fc.flatten"] == (4 * 14 * 6,)
    with pytest.raises(RecipeError, match="did you mean 'phase'"):
        load(arguments={"fase": "test"})


@pytest.mark.parametrize("target", ["tidl", "tidl-classic"])
def test_both_targets_offer_caffe_and_lmdb(target: str) -> None:
    """Each target brings the same readers."""
    manager = Manager(load_target(target))
    assert [f.suffixes for f in manager.model_formats()][:2] == [(".prototxt",), (".caffemodel",)]
    assert [reader.name for reader in manager.data_readers()] == ["lmdb"]


def test_inspect_takes_a_prototxt(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file states the input's shape; a damaged one is one line and exit 2."""
    monkeypatch.chdir(folder)
    assert main(["inspect", "net.prototxt", "--target", "tidl"]) == 0
    assert "fc.flatten" in capsys.readouterr().out
    (folder / "bad.prototxt").write_text("layer { nam: 'x' }")
    assert main(["inspect", "bad.prototxt", "--target", "tidl"]) == 2
    assert "did you mean 'name'" in capsys.readouterr().err


RECIPE = """
[model]
source = "net.prototxt"
weights = "net.caffemodel"
arguments = { end = "scores" }

[target]
name = "tidl-classic"

[data]
source = "npz"
path = "set.npz"
"""


def test_a_run_starts_from_caffe(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prepared model holds the caffemodel's weights; a truncated file stops with exit 2."""
    monkeypatch.chdir(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 3, 8, 8), dtype=np.uint8)
    np.savez(folder / "set.npz", x=pixels, y=np.arange(20) % 2)
    (folder / "recipe.toml").write_text(RECIPE)
    command = ["run", "recipe.toml", "--folder", "out", "--until", "prepare"]
    assert main(command) == 0
    assert main(["show", "out"]) == 0
    whole = (folder / "net.caffemodel").read_bytes()
    (folder / "net.caffemodel").write_bytes(whole[: len(whole) // 2])
    assert main(command) == 2
    assert "cut off or damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("net.pb", "tf2onnx.convert --graphdef"), ("net.tflite", "tf2onnx.convert --tflite"),
        ("net.h5", "tf2onnx.convert --saved-model"), ("NET.KERAS", "--saved-model"),
        ("net.caffemodel", "model.source to the .prototxt"),
    ],
)  # fmt: skip
def test_other_formats_are_refused_with_their_conversion(
    tmp_path: Path, name: str, said: str
) -> None:
    """By suffix alone, whether the file exists or not."""
    with pytest.raises(UnsupportedError, match="which is not read") as caught:
        load_source(ModelSection(source=name), tmp_path, (), formats=MODEL_FORMATS)
    assert said in caught.value.hint


DETECTOR = (
    header(3, 8, 8)
    + layer("loc", "Convolution", "convolution_param { num_output: 16 kernel_size: 1 }")
    + layer("loc_perm", "Permute", "permute_param { order: [0, 2, 3, 1] }", "loc")
    + layer("loc_flat", "Flatten", bottom="loc_perm")
    + layer("conf", "Convolution", "convolution_param { num_output: 8 kernel_size: 1 }")
    + layer("conf_perm", "Permute", "permute_param { order: [0, 2, 3, 1] }", "conf")
    + layer("conf_flat", "Flatten", bottom="conf_perm")
    + layer("prob", "Sigmoid", bottom="conf_flat", top="conf_flat2")
    + layer("prior", "PriorBox", "prior_box_param { min_size: 4 max_size: 6 aspect_ratio: 2 "
            "step: 1 variance: 0.1 }", "loc data")
    + layer("out", "DetectionOutput", "detection_output_param { num_classes: 2 }",
            "loc_flat conf_flat2 prior")
)  # fmt: skip


def test_a_detector_with_one_head_is_cut_before_its_sigmoid(tmp_path: Path) -> None:
    """One prior box layer without Concat; steps, variances and boxes per cell as stated."""
    (tmp_path / "d.prototxt").write_text(DETECTOR)
    found = import_caffe(tmp_path / "d.prototxt")
    assert found.graph.outputs == ("loc_flat", "conf_flat")
    assert found.detection is not None
    (prior,) = found.detection.priors
    assert (prior.per_cell, prior.count, prior.steps, prior.variances) == (4, 256, (1, 1), (0.1,))
    assert Op.SIGMOID not in {node.op for node in found.graph.nodes}
    assert found.detection.layers == ("prob", "prior", "out")
    assert found.detection.gate == "Sigmoid"
    assert prior.tensor == "loc"


@pytest.mark.parametrize("gate", ["Sigmoid", "Softmax", ""])
def test_every_way_of_making_confidences_is_written(tmp_path: Path, gate: str) -> None:
    """Softmax, sigmoid, or scores as they are: described, written, and described alike again."""
    text = DETECTOR
    if not gate:
        text = text.replace("conf_flat2 prior", "conf_flat prior").replace(
            'bottom: "conf_flat2"', 'bottom: "conf_flat"')  # fmt: skip
    elif gate == "Softmax":
        text = text.replace('type: "Sigmoid"', 'type: "Softmax"')
    (tmp_path / "d.prototxt").write_text(text)
    found = import_caffe(tmp_path / "d.prototxt")
    assert found.detection is not None
    assert found.detection.gate == gate
    files = tmp_path / "w.prototxt", tmp_path / "w.caffemodel"
    write_caffe(found.graph, *files, detection=found.detection)
    again = import_caffe(*files)
    assert again.graph.nodes == found.graph.nodes
    assert again.detection is not None
    assert replace(again.detection, layers=()) == replace(found.detection, layers=())


def test_heads_that_do_not_fit_their_boxes_are_refused(tmp_path: Path) -> None:
    """Four boxes per cell need sixteen location channels."""
    (tmp_path / "d.prototxt").write_text(DETECTOR.replace("num_output: 16", "num_output: 12"))
    with pytest.raises(UnsupportedError, match="256 prior boxes need"):
        import_caffe(tmp_path / "d.prototxt")

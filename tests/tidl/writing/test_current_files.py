"""The folder for the current tools: models, options, configurations, frames, README, and back."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.tidl.networks import samples
from tests.tidl.writing.benches import compiled, prepared, zeros

from nibblefit.data.scaling import Scaling
from nibblefit.data.source import Split
from nibblefit.errors import InputError
from nibblefit.ir.float_reference import run_float
from nibblefit.runner.artifact import check_files, check_read_back
from nibblefit_tidl.configuration.importer import read_importer
from nibblefit_tidl.configuration.provider import read_options_file
from nibblefit_tidl.devices import DEVICES, device_named
from nibblefit_tidl.writing.current_files import read_current_back, write_current
from nibblefit_tidl.writing.preprocessing import pixels_text


@pytest.mark.parametrize("part", DEVICES)
def test_every_file_fits_the_device(part: str) -> None:
    """Options and configurations are read again without a problem, for every device."""
    made = compiled("tidl", part=part)
    check_files(made.artifact, made.folder, "tidl")
    device = device_named(part)
    scale_type = 4 if device.asymmetric else 1
    for model in made.artifact.notes["models"]:
        options = read_options_file(made.folder / f"{model}_options.json", device)
        assert options.quantization_scale_type == scale_type
        assert options.add_data_convert_ops == 3
        path = made.folder / f"{model}_import.txt"
        assert path.is_file() == (model == "float" or scale_type == 1)
        if path.is_file():
            config = read_importer(path, device=device)
            assert config.add_data_convert_to_net == 3
            assert config.quantization_style == (3 if scale_type == 1 else 2)
            assert (made.folder / config.in_data).is_file()
            assert (made.folder / config.input_net_file).is_file()
    assert "no asymmetric" in made.read("README.md") or scale_type == 1


def test_the_float_model_has_fixed_shapes_and_the_same_numbers() -> None:
    """Every tensor has its shape, and onnxruntime computes what the float reference does."""
    onnxruntime = pytest.importorskip("onnxruntime")
    made = compiled("tidl")
    model = onnx.load(made.folder / "float.onnx")
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output, *model.graph.value_info)
    }
    made_by_nodes = {name for node in model.graph.node for name in node.output}
    assert made_by_nodes <= set(shapes)
    assert all(all(axis > 0 for axis in shape) for shape in shapes.values())
    assert shapes["x"] == [1, 3, 12, 12]
    session = onnxruntime.InferenceSession(made.folder / "float.onnx")
    frame = samples(made.network, 1)
    (found,) = session.run(None, {"x": frame})
    expected = run_float(made.network, {"x": frame})["head"]
    assert found == pytest.approx(expected, abs=1e-5)


def test_zeros_of_the_float_model_are_zeros_of_the_mask() -> None:
    """Folding and writing lose no zero and make none."""
    made = compiled("tidl")
    constants = {one.name: numpy_helper.to_array(one)
                 for one in onnx.load(made.folder / "float.onnx").graph.initializer}  # fmt: skip
    for name in ("stem.weight", "a.weight", "b.weight"):
        before = made.network.constants[name]
        assert zeros(before) > 100
        assert bool(np.all((before == 0) == (constants[name] == 0))), name


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"calibration_iterations": 50},
         {"accuracy_level": 1, "calibration_frames": 48, "calibration_iterations": 50}),
        ({"calibration_frames": 12}, {"calibration_frames": 12}),
        ({"accuracy_level": 2}, {"accuracy_level": 2}),
        ({"qat": True}, {"accuracy_level": 1}),
        ({"calibration_iterations": 0},
         {"accuracy_level": 9, "bias_calibration": 0, "weight_clipping": 1,
          "activation_clipping": 1}),
        ({"calibration_iterations": 0, "accuracy_level": 2}, {"activation_clipping": 0}),
        ({"accuracy_level": 9, "weight_clipping": False},
         {"accuracy_level": 9, "weight_clipping": 0, "bias_calibration": 1}),
        ({"high_resolution_optimization": True}, {"high_resolution_optimization": 1}),
        ({"tensor_bits": 16}, {"tensor_bits": 16}),
        ({"output_feature_16bit_names": ("a",), "params_16bit_names": ("stem",)},
         {"output_feature_16bit_names_list": "a.relu",
          "params_16bit_names_list": "stem.norm.relu"}),
    ],
)  # fmt: skip
def test_options_follow_the_recipe(options: dict[str, Any], expected: dict[str, Any]) -> None:
    """What the quantizer did here is what the provider is asked to do."""
    made = compiled("tidl", options)
    found = read_options_file(made.folder / "float_options.json", device_named(""))
    assert {key: getattr(found, key) for key in expected} == expected
    config = read_importer(made.folder / "float_import.txt", device=device_named(""))
    assert config.num_param_bits == config.num_feature_bits == found.tensor_bits
    assert bool(config.calibration_option & 4) == (
        found.accuracy_level == 1
        or (found.accuracy_level in (2, 9) and found.bias_calibration == 1)
    )
    assert config.output_feature16bit_names_list == found.output_feature_16bit_names_list
    assert config.params16bit_names_list == found.params_16bit_names_list


def test_the_quantized_model_is_taken_as_it_is() -> None:
    """Its options calibrate nothing, and it is the one the artifact's command names."""
    made = compiled("tidl")
    found = read_options_file(made.folder / "qdq_options.json", device_named(""))
    assert (found.prequantized_model, found.accuracy_level) == (1, 0)
    config = read_importer(made.folder / "qdq_import.txt")
    assert (config.pre_quantized_model, config.calibration_option) == (1, 64)
    assert made.artifact.notes["command"] == "python run_model.py compile qdq"


@pytest.mark.parametrize("options", [{}, {"tensor_bits": 16}, {"quantization_scale_type": 0}])
def test_the_files_give_the_same_integers(options: dict[str, Any]) -> None:
    """Read from the quantized model, or from the integers where that has no such form."""
    made = compiled("tidl", options)
    back = read_current_back(made.run, made.artifact)
    check_read_back(made.graph, back, "tidl", 3)
    if "qdq" not in made.artifact.notes["models"]:
        assert "There is no `qdq.onnx`" in made.read("README.md")
        for path in (made.folder / "integers").iterdir():
            path.unlink()
        (made.folder / "integers").rmdir()
        with pytest.raises(InputError, match="integers are missing"):
            read_current_back(made.run, made.artifact)


def test_sixteen_bits_have_no_quantized_model() -> None:
    """The form has 8 bits; the README says why the file is not there."""
    made = compiled("tidl", {"tensor_bits": 16})
    assert made.artifact.notes["models"] == ("float",)


def test_the_frames_are_training_samples() -> None:
    """Raw float32, one file a frame, listed; each of them a sample of the training split."""
    made = compiled("tidl", {"calibration_frames": 5})
    names = made.read("calibration/list.txt").split()
    assert len(names) == 5
    data = made.run.data.split(Split.TRAIN)
    known = {data[index][0].tobytes() for index in range(len(data))}
    assert all((made.folder / name).read_bytes() in known for name in names)


@pytest.mark.parametrize(
    ("section", "pixel", "real"),
    [
        ({}, 128, 0.5),
        ({"range": (-1.0, 1.0)}, 0, -1.0),
        ({"range": (-1.0, 1.0)}, 192, 0.5),
        ({"mean": (0.25,), "std": (0.5,)}, 64, 0.0),
        ({"mean": (0.25, 0.5, 0.5), "std": (0.5, 0.25, 1.0)}, 128, 0.5),
    ],
)
def test_pixels_are_scaled_as_the_data_was(
    section: dict[str, Any], pixel: int, real: float
) -> None:
    """One mean and one scale per channel do to a pixel what the data's own scaling does."""
    run, _, _ = prepared("tidl")
    low, high = section.get("range", (0.0, 1.0))
    scaling = Scaling(0, 256, low, high, section.get("mean", ()), section.get("std", ()))
    text = pixels_text(replace(run, data=SimpleNamespace(scaling=scaling)), 3)
    assert text is not None
    found = json.loads(text)
    assert len(found["mean"]) == len(found["scale"]) == 3
    assert (pixel - found["mean"][0]) * found["scale"][0] == pytest.approx(real, abs=1e-12)
    stored = np.full((1, 3, 1, 1), pixel, np.uint8)
    assert float(scaling.apply(stored)[0, 0, 0, 0]) == pytest.approx(real, abs=1e-6)


@pytest.mark.parametrize("scaling", [None, Scaling(0, 16, 0, 1), Scaling(-128, 128, -1, 1)])
def test_without_pictures_nothing_says_what_a_pixel_is(scaling: Scaling | None) -> None:
    """Data of another scale than pixels of 0 to 255 get no pixels.json."""
    run, _, _ = prepared("tidl")
    assert pixels_text(replace(run, data=SimpleNamespace(scaling=scaling)), 1) is None


def test_the_readme_explains_files_and_troubles() -> None:
    """Commands, notes on quantized training, and what goes wrong on the board."""
    text = compiled("tidl", {"qat": True}).read("README.md")
    for words in ("leaves the trained", "allowedNode.txt", "did not free its memory", "37272",
                  "TDA4VM has 16-bit biases", "python run_model.py compile float"):  # fmt: skip
        assert words in text
    few = compiled("tidl", {"calibration_frames": 2}, part="am62a").read("README.md")
    assert "calibration frames are few" in few
    assert "pixels.json" not in few  # the digits are no 8-bit pictures
    assert "16-bit biases" not in few


def test_no_calibration_frame_is_refused() -> None:
    """An empty list of frames never reaches the tools."""
    run, _, graph = prepared("tidl")
    run.data._parts[Split.TRAIN].inputs = np.zeros((0, 3, 12, 12), np.float32)
    with pytest.raises(InputError, match="list of calibration frames would be empty"):
        write_current(run, graph)

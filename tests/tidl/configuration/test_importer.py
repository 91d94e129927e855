"""The TIDL-RT import configuration: read with overrides, repaired, checked, written again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.errors import InputError
from nibblefit_tidl.configuration.importer import (
    RtImport,
    importer_text,
    parse_importer,
)
from nibblefit_tidl.configuration.importer_repairs import repaired, repairs_of
from nibblefit_tidl.devices import AM67A, AM69A, TDA4VM

FILES = {"model_type": 2, "input_net_file": "a.onnx", "output_net_file": "n.bin",
         "output_params_file": "io_", "in_data": "list.txt"}  # fmt: skip
TEXT = """modelType = 2
inputNetFile = "a.onnx"
outputNetFile = n.bin
outputParamsFile = io_
inData = list.txt
"""


def config(**values: Any) -> RtImport:
    """Return a configuration that is complete but for `values`."""
    return RtImport(**{**FILES, **values})


def test_a_file_is_read_and_written_again() -> None:
    """Lists per input and per channel, texts and numbers survive."""
    found = parse_importer(TEXT + "inDataNorm = 1\ninMean = 103.939 116.779, 123.68\n"
                           "inScale = 1 0.5 0.25 # per channel\nnumParamBits = 8\n"
                           "foldPreBnConv2D = 2\ninDIM1 = 1 4\nmsmcSizeKB = 2944\n")  # fmt: skip
    assert found.in_mean == (103.939, 116.779, 123.68)
    assert found.in_dim1 == (1, 4)
    assert found.fold_pre_bn_conv2d == 2
    assert parse_importer(importer_text(found)) == found
    assert parse_importer(importer_text(found, explained=False)) == found


def test_the_second_name_of_the_input_scale_is_understood() -> None:
    """InQuantFactor is inTensorScale; both at once are a problem."""
    assert parse_importer(TEXT + "inQuantFactor = 255\n").in_tensor_scale == (255.0,)
    with pytest.raises(InputError, match="another name of 'inTensorScale', which line 7"):
        parse_importer(TEXT + "inQuantFactor = 255\ninTensorScale = 255\n")


def test_arguments_win_over_the_file() -> None:
    """--key value replaces or adds; negative values are values."""
    found = parse_importer(TEXT + "numFrames = 3\n", ["--numFrames", "-1", "--calibrationOption",
                           "7", "--inQuantFactor", "2"])  # fmt: skip
    assert (found.num_frames, found.calibration_option) == (-1, 7)
    assert found.in_tensor_scale == (2.0,)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--numFrames"], "has no value"),
        (["--numFrames", "--calibrationOption", "7"], "'--numFrames' has no value"),
        (["numFrames", "3"], "names no key"),
        (["--numFrame", "3"], "did you mean 'numFrames'?"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], words: str) -> None:
    """Arguments without key or value never slip through."""
    with pytest.raises(InputError, match=words):
        parse_importer(TEXT, arguments)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"num_param_bits": 12}, {"numFeatureBits": 16, "inElementType": (2,)}),
        ({"num_param_bits": 12, "in_element_type": (1, 0)},
         {"numFeatureBits": 16, "inElementType": (3, 2)}),
        ({"num_param_bits": 12, "add_data_convert_to_net": 1}, {"numFeatureBits": 16}),
        ({"num_feature_bits": 16}, {"numParamBits": 12, "inElementType": (2,)}),
        ({"num_param_bits": 32}, {"numFeatureBits": 32}),
        ({"num_param_bits": 16, "num_feature_bits": 16, "in_element_type": (3,)}, {}),
        ({}, {}),
    ],
)  # fmt: skip
def test_silent_repairs_are_those_of_the_importer(
    values: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Each repair is predicted; what is repaired needs no further repair."""
    before = config(**values)
    assert {repair.key: repair.becomes for repair in repairs_of(before)} == expected
    assert repairs_of(repaired(before)) == ()


@given(
    params=st.sampled_from([*range(4, 17), 32]), features=st.sampled_from([8, 16, 32]),
    elements=st.lists(st.sampled_from([0, 1, 2, 3]), min_size=1, max_size=3),
    converts=st.integers(0, 3),
)  # fmt: skip
def test_repairs_settle_at_once(
    params: int, features: int, elements: list[int], converts: int
) -> None:
    """Whatever is asked for, one round of repairs is enough."""
    before = config(num_param_bits=params, num_feature_bits=features,
                    in_element_type=tuple(elements), add_data_convert_to_net=converts)  # fmt: skip
    after = repaired(before)
    assert repairs_of(after) == ()
    assert (after.num_param_bits > 8) == (after.num_feature_bits > 8)


def test_a_silent_repair_is_refused_or_done_on_request() -> None:
    """The line that causes it is named; with repair it is applied."""
    text = TEXT + "numParamBits = 12\n"
    with pytest.raises(InputError, match="numFeatureBits = 8 into 16 in silence") as caught:
        parse_importer(text, file="import.txt")
    assert "import.txt:6:" in str(caught.value)
    assert parse_importer(text, repair=True).num_feature_bits == 16
    with pytest.raises(InputError, match="in silence"):
        importer_text(config(num_param_bits=12))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("calibrationOption = 71", "both trusts given ranges"),
        ("calibrationOption = 16", "unknown flags"),
        ("calibrationOption = 7\npreQuantizedModel = 1", "would replace them"),
        ("biasCalibrationFactor = 0.05", "has no effect"),
        ("mixedPrecisionFactor = 0.9", "allows nothing"),
        ('params16bitNamesList = "a,,b"', "empty name"),
        ("outputFeature16bitNamesList = a\nenableHighResOptimization = 1", "exclude each other"),
        ("params16bitNamesList = a\nnumParamBits = 16\nnumFeatureBits = 16\ninElementType = 2",
         "no layer has 8 bits"),
        ("inDataNorm = 1\ninMean = 1", "needs 'inScale'"),
        ("inMean = 1", "while inDataNorm is 0"),
        ("inDataNorm = 1\ninMean = 1 2\ninScale = 1", "inMean has 2 numbers"),
        ("inElementType = 6", "needs a conversion"),
        ("metaArchType = 3", "belong together"),
        ("inferenceMode = 2", "spreads one frame"),
        ("numCores = 2", "exactly one core"),
        ("foldMaxPoolInConv2D = 1", "one of 0"),
        ("inputParamsFile = x", "is for Caffe"),
        ("quantizationStyle = 4", "0 to 3"),
        ("inMean = nan", "finite"),
        ("numFrames = 1 2", "has 2 values"),
    ],
)  # fmt: skip
def test_conflicts_are_refused(line: str, words: str) -> None:
    """Every conflict has its reason."""
    with pytest.raises(InputError, match=words):
        parse_importer(TEXT + line + "\n")


def test_what_is_missing_is_named() -> None:
    """An empty file lacks network, frames and weights."""
    with pytest.raises(InputError) as caught:
        parse_importer("")
    for key in ("inputNetFile", "outputNetFile", "outputParamsFile", "inData", "inputParamsFile"):
        assert f"'{key}' is missing" in str(caught.value)
    assert parse_importer(TEXT.replace("inData = list.txt\n", "executeQuantsTool = 0\n"))


def test_devices_refuse_what_they_lack() -> None:
    """Scales per channel and several cores depend on the device."""
    channels = TEXT + "calibrationOption = 13\n"
    assert parse_importer(channels, device=AM67A).calibration_option == 13
    with pytest.raises(InputError, match="which tda4vm lacks"):
        parse_importer(channels, device=TDA4VM)
    cores = TEXT + "inferenceMode = 2\nnumCores = 4\n"
    assert parse_importer(cores, device=AM69A).num_cores == 4
    with pytest.raises(InputError, match="numCores is 4, and am67a has 2 cores"):
        parse_importer(cores, device=AM67A)

"""The classic import configuration: read, checked, written again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.errors import InputError
from nibblefit_tidl.configuration.classic import (
    ClassicImport,
    classic_text,
    parse_classic,
    read_classic,
)

#: In the manner of the vendor's files: tabs, comments twice, unquoted and Windows paths, a list
#: with a data layer at both ends.
FILE = """# Default - 0
# Default - 0
randParams         = 0

# 0: Caffe, 1: TensorFlow
modelType\t= 0
quantizationStyle  = 1 # dynamic
quantRoundAdd      = 25
numParamBits       = 8
inputNetFile       = "..\\..\\test\\jdetnet#1\\deploy.prototxt"   # quoted
inputParamsFile    = ../../test/jdetnet/deploy.caffemodel
outputNetFile      = "net.bin"
outputParamsFile   = "params.bin"
sampleInData       = frames.y
tidlStatsTool      = .\\eve_test_dl_algo.out.exe
layersGroupId      = 0\t1 1 1 2 2 0
conv2dKernelType   = 0 0 1 1 1 1 0
"""
REQUIRED = {
    "input_net_file": "a.prototxt", "input_params_file": "a.caffemodel", "output_net_file": "n",
    "output_params_file": "p", "sample_in_data": "f.y", "tidl_stats_tool": "t.out",
}  # fmt: skip


def test_a_file_of_the_vendor_s_manner_is_read() -> None:
    """Comments, tabs, quotes, backslashes and lists come through."""
    config = parse_classic(FILE)
    assert config.quant_round_add == 25
    assert config.layers_group_id == (0, 1, 1, 1, 2, 2, 0)
    assert config.conv2d_kernel_type == (0, 0, 1, 1, 1, 1, 0)
    assert config.input_net_file == "..\\..\\test\\jdetnet#1\\deploy.prototxt"
    assert config.tidl_stats_tool == ".\\eve_test_dl_algo.out.exe"
    assert config.in_width == -1


@pytest.mark.parametrize("explained", [True, False])
def test_what_is_written_is_read_again(explained: bool) -> None:
    """A configuration survives its own file, with and without comments."""
    config = parse_classic(FILE)
    text = classic_text(config, explained=explained)
    assert parse_classic(text) == config
    assert ("#" in text.replace("jdetnet#1", "")) is explained


@given(
    bits=st.integers(4, 12),
    round_add=st.integers(0, 100),
    kernels=st.lists(st.sampled_from([-1, 0, 1]), max_size=5),
    split=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    factor=st.one_of(st.just(-1), st.integers(1, 1 << 30)),
)
def test_any_legal_configuration_survives_its_file(
    bits: int, round_add: int, kernels: list[int], split: tuple[int, int], factor: int
) -> None:
    """Reading inverts writing."""
    config = ClassicImport(
        **REQUIRED, num_param_bits=bits, quant_round_add=round_add, in_quant_factor=factor,
        conv2d_kernel_type=tuple(kernels), layers_group_id=(0, *[1] * split[0], *[2] * split[1], 0),
    )  # fmt: skip
    assert parse_classic(classic_text(config)) == config


@pytest.mark.parametrize(
    ("line", "text", "words"),
    [
        (9, "numParamBits = 13", "4 to 12"),
        (9, "numParmBits = 8", r"did you mean 'numParamBits'\?"),
        (7, "modelType = 0", "line 6 already sets it"),
        (7, "quantizationStyle = 0", "refuse it"),
        (16, "layersGroupId = 0 1 2 1 0", "visits a processor twice"),
        (16, "layersGroupId = 0 1 0 2 0", "between other layers"),
        (16, "layersGroupId = 0 3 0", "one of 0, 1, 2"),
        (11, "inputParamsFile = a\nmodelType = 1", "line 6 already sets it"),
        (12, 'outputNetFile = "net.bin', "quote is not closed"),
        (12, 'outputNetFile = "net" bin', "or text follows it"),
        (3, "randParams 0", "assigns nothing"),
        (3, "= 0", "no key before"),
        (3, "randParams =", "no value"),
        (3, "randParams = 0 1", "2 values"),
        (8, "quantRoundAdd = half", "integer"),
        (8, "inNumChannels = 1025", "1 to 1024, or -1"),
    ],
)
def test_a_problem_is_named_with_its_line(line: int, text: str, words: str) -> None:
    """Every kind of mistake has one clear message at its line."""
    lines = FILE.splitlines()
    lines[line - 1] = text
    at = line + text.count("\n")
    with pytest.raises(InputError, match=words) as caught:
        parse_classic("\n".join(lines), "import.txt")
    assert f"import.txt:{at}:" in str(caught.value)


def test_weights_of_another_front_end_are_refused() -> None:
    """Only Caffe has a file of weights."""
    text = FILE.replace("modelType\t= 0", "modelType = 1")
    with pytest.raises(InputError, match=r"import.txt:11: 'inputParamsFile' is for Caffe"):
        parse_classic(text, "import.txt")


def test_all_problems_are_named_together() -> None:
    """The user need not run it five times."""
    with pytest.raises(InputError) as caught:
        parse_classic("randParams = 0\n", "import.txt")
    text = str(caught.value)
    for key in ("sampleInData", "tidlStatsTool", "inputNetFile", "inputParamsFile"):
        assert f"'{key}' is missing" in text


def test_a_broken_configuration_is_not_written() -> None:
    """Conflicts are found before a file exists."""
    config = ClassicImport(**{**REQUIRED, "model_type": 1})
    with pytest.raises(InputError, match="is for Caffe"):
        classic_text(config)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    """Missing, binary and enormous files end in a sentence."""
    with pytest.raises(InputError, match="cannot be read"):
        read_classic(tmp_path / "none.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="no text file"):
        read_classic(tmp_path / "binary.txt")
    with pytest.raises(InputError, match="no configuration"):
        parse_classic("#" * (1 << 21))
    (tmp_path / "good.txt").write_text("\ufeff" + FILE, encoding="utf-8")
    assert read_classic(tmp_path / "good.txt") == parse_classic(FILE)

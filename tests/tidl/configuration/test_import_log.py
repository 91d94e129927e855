"""The importers' logs, in both layouts."""

from __future__ import annotations

from pathlib import Path

import pytest

from nibblefit.errors import InputError
from nibblefit.results import Status
from nibblefit_tidl.configuration.import_log import parse_import_log, read_import_log

NUMBERS = " 1 ,  1 , {ins} , {out} , 1 , 3 , 224 , 224 , 1 , 32 , 112 , 112 , {macs} ,"


def old_row(index: int, kind: str, name: str, *, ins: int, out: int, macs: int) -> str:
    """Return a row as the first releases print it: eight input buffers, unused ones x."""
    buffers = " , ".join([str(ins), *["x"] * 7]) if ins >= 0 else " , ".join(["x"] * 8)
    counts = NUMBERS.format(ins=buffers, out=out, macs=macs)
    return f" {index}, {kind:<30}, {name:<42}{1 if ins >= 0 else 0}, {counts}"


OLD = "\n".join((
    "Caffe Network File : deploy.prototxt",
    " Num of Layer Detected :   3",
    old_row(0, "TIDL_DataLayer", "data", ins=-1, out=0, macs=0),
    old_row(1, "TIDL_ConvolutionLayer", "conv1a, first", ins=0, out=1, macs=30108672),
    old_row(2, "TIDL_PoolingLayer", "pool", ins=1, out=2, macs=400000),
    "Total Giga Macs : 0.0305",
    "Total Giga Macs : 0.4576 @15 fps",
    "Total Giga Macs : 0.9153 @30 fps",
))  # fmt: skip


def bar_row(*cells: str) -> str:
    """Return a row of the table with bars."""
    widths = (5, 30, 17, 6, 6, 6, 15, 10, 36, 36, 11)
    return "".join(f"{cell:>{width}}|" for cell, width in zip(cells, widths))


NEW = "\n".join((
    "Num of Layer Detected :   2",
    "-" * 60,
    bar_row("Num", "TIDL Layer Name", "Out Data Name", "Group", "#Ins", "#Outs", "Inbuf Ids",
            "Outbuf Id", "In NCHW", "Out NCHW", "MACS"),
    "-" * 60,
    bar_row("0", "TIDL_DataLayer", "x", "0", "-1", "1", "x x x x", "0", "0 0 0 0", "1 3 32 32",
            "0"),
    bar_row("1", "TIDL_EltWiseLayer", "join", "1", "2", "1", "0 7 x x", "1", "1 3 32 32",
            "1 8 32 32", "8192"),
    "-" * 60,
    "Total Giga Macs : 0.0000",
))  # fmt: skip


def test_the_old_layout_is_read() -> None:
    """Names with commas, unused buffers and totals per frame rate do not confuse."""
    log = parse_import_log(OLD)
    assert [layer.kind for layer in log.layers] == [
        "TIDL_DataLayer", "TIDL_ConvolutionLayer", "TIDL_PoolingLayer",
    ]  # fmt: skip
    conv = log.layers[1]
    assert (conv.name, conv.group, conv.inputs, conv.output) == ("conv1a, first", 1, (0,), 1)
    assert (conv.in_shape, conv.out_shape) == ((1, 3, 224, 224), (1, 32, 112, 112))
    assert (log.detected, log.giga_macs, log.macs) == (3, 0.0305, 30508672)
    assert log.findings == ()


def test_the_table_with_bars_is_read(tmp_path: Path) -> None:
    """Several inputs are told from unused ones."""
    path = tmp_path / "netLog.txt"
    path.write_text(NEW)
    log = read_import_log(path)
    assert log.layers[1].inputs == (0, 7)
    assert log.layers[1].out_shape == (1, 8, 32, 32)
    assert (log.layers[0].inputs, log.layers[0].output) == ((), 0)
    assert log.macs == 8192
    assert log.findings == ()


@pytest.mark.parametrize(
    "text",
    [
        "Num of Layer Detected :   0\nTotal Giga Macs : 0.0000\n",
        "\n".join(NEW.splitlines()[:5]).replace(":   2", ":   1"),
    ],
)
def test_no_layer_is_explained(text: str) -> None:
    """Zero layers, or data layers alone: the format was not recognized."""
    (finding,) = parse_import_log(text, "log.txt").findings
    assert finding.status is Status.FAILED
    assert "did not recognize" in finding.message
    assert "the network is not empty" in finding.message
    assert "modelType" in finding.hint


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Could not find the requested input Data : conv2", "was not recognized"),
        ("Setting RAND Kernel Params for Layer conv1", "random"),
        ("Layer Foo will be by-passed", "left out"),
        ("DIM Error - For Tensor 5, Dim 1 is -1", "shape is not known"),
        ("node: Dim is -1", "shape is not known"),
        ("Error: bad node spec for DequantizeLinear", "one scale"),
        ("Layer type Bar is not supported by TIDL", "not supported"),
    ],
)
def test_terse_lines_are_explained(line: str, words: str) -> None:
    """Each known message gets its meaning and its line."""
    log = parse_import_log(f"{OLD}\n{line}\n", "log.txt")
    (finding,) = log.findings
    assert words in finding.message
    assert finding.where == f"log.txt:{len(OLD.splitlines()) + 1}"
    assert finding.hint


def test_an_unsupported_layer_and_a_wrong_total_are_found() -> None:
    """The table is checked against itself."""
    text = OLD.replace("TIDL_PoolingLayer ", "TIDL_UnSuportedLayer ").replace("0.0305", "0.9000")
    rules = {finding.rule for finding in parse_import_log(text).findings}
    assert rules == {"tidl.log.unsupported", "tidl.log.total"}


def test_a_broken_row_is_no_layer() -> None:
    """Rows that are cut are left out rather than guessed."""
    cut = OLD.replace(" 112 , 30108672 ,", "", 1)
    assert len(parse_import_log(cut).layers) == 2
    lost = OLD.replace("conv1a, first", "conv1a, 1, 2, 3")
    assert parse_import_log(lost).layers[1].name == "conv1a, 1, 2, 3"
    assert parse_import_log(NEW.replace("8192|", "")).layers[-1].index == 0


def test_other_text_is_refused() -> None:
    """A file that is no log ends in a sentence."""
    with pytest.raises(InputError, match="no import log"):
        parse_import_log("hello | world\n 1, TIDL_X, a, b")

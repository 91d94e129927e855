"""``inspect``: where the input shape comes from, what is printed, and what is left to --details."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nibblefit.cli import main
from nibblefit.cli.input_shapes import parsed_shape, stated_shape
from nibblefit.cli.inspection import closing_lines
from nibblefit.errors import InputError
from nibblefit.ir.graph import frozen_mapping
from nibblefit.results import Finding, Report, Status, Table

NETWORK = """\
from torch import nn
{constant}

def build():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.{activation}, nn.Flatten(), nn.Linear(144, 3))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write(name: str, constant: str = "INPUT_SHAPE = (1, 8, 8)", activation: str = "ReLU()") -> str:
    Path(name).write_text(NETWORK.format(constant=constant, activation=activation), "utf-8")
    return f"{name}:build"


def _inspect(source: str, *words: str) -> int:
    return main(["inspect", source, "--target", "generic", *words])


def test_the_file_states_its_shape(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --input-shape, INPUT_SHAPE of the file holds."""
    assert _inspect(_write("stated.py"), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["metrics"]["macs"] == 4 * 36 * 9 + 144 * 3


@pytest.mark.parametrize(
    ("constant", "shape"),
    [("INPUT_SHAPE = (1, 8, 8)", (1, 8, 8)), ("INPUT_SHAPE: tuple = [3, 4]", (3, 4)),
     ("", ()), ("INPUT_SHAPE = shape()", ()), ("INPUT_SHAPE = (1, -8)", ()),
     ("INPUT_SHAPE = 'abc'", ()), ("INPUT_SHAPE: tuple", ()), ("INPUT_SHAPE = (", ())],
)  # fmt: skip
def test_only_literal_shapes_count(folder: Path, constant: str, shape: tuple[int, ...]) -> None:
    """The file is read, not run; what is no shape is not taken for one."""
    assert stated_shape(_write("net.py", constant)) == shape


def test_a_package_states_its_shape(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A factory in a package is looked up the same way; one that is missing states nothing."""
    _write("shaped_package_net.py")
    monkeypatch.syspath_prepend(folder)
    assert stated_shape("shaped_package_net:build") == (1, 8, 8)
    assert stated_shape("no_such_package:build") == ()
    assert stated_shape("net.onnx") == ()


def test_a_wrong_shape_is_one_line_and_a_hint(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What torch says stands in one line; the hint names the file's shape, or the option."""
    assert _inspect(_write("net.py"), "--input-shape", "1,9,9") == 2
    what, hint, *rest = capsys.readouterr().err.splitlines()
    assert "fails on an input of shape (1, 9, 9): RuntimeError" in what
    assert hint.strip() == "→ the file states --input-shape 1,8,8; leave the option out to use it"
    assert rest == []
    assert _inspect(_write("bare.py", ""), "--input-shape", "1,9,9") == 2
    assert "correct --input-shape 1,9,9" in capsys.readouterr().err
    assert _inspect(_write("wrong.py", "INPUT_SHAPE = (1, 9, 9)")) == 2
    assert "correct the INPUT_SHAPE of the file" in capsys.readouterr().err


def test_an_unknown_shape_names_both_ways(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Option and constant are offered."""
    assert _inspect(_write("bare.py", "")) == 2
    said = capsys.readouterr().err
    assert "--input-shape 1,28,28" in said
    assert "INPUT_SHAPE = (1, 28, 28)" in said


def test_shapes_are_read_as_people_write_them() -> None:
    """Commas or crosses; anything else is refused."""
    assert parsed_shape("1,28,28") == parsed_shape("1x28x28") == (1, 28, 28)
    assert parsed_shape("") == ()
    with pytest.raises(InputError, match="40,000,000,000 numbers"):
        parsed_shape("1,200000,200000")
    for text in ("1,0", "a", "1,,2"):
        with pytest.raises(InputError, match="is no shape"):
            parsed_shape(text)


def test_each_layer_is_printed_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One table and the totals; passed findings only with --details."""
    source = _write("net.py")
    assert _inspect(source) == 0
    shown = capsys.readouterr().out
    assert shown.count("linear  ") == 1
    assert "passed" not in shown
    assert "Findings" not in shown
    # 36 weights and 432 weights of one byte, 4 and 3 biases of four.
    assert "layers 4, supported 4, parameters 475, weight bytes 496 B, macs 1,728" in shown
    assert _inspect(source, "--details") == 0
    assert "passed" in capsys.readouterr().out


def test_refusals_are_printed_with_reason_and_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Below the first table stand reason and remedy of what fails; other tables are named."""
    findings = (
        Finding("a.b", Status.PASSED, "conv: fine", "c1"),
        Finding("a.b", Status.FAILED, "gelu: the target has no gelu", "act", "use relu instead"),
    )
    tables = (Table("Layers", ("layer", "verdict"), (("c1", "runs"), ("act", "refused"))),
              Table("Memory", ("x",), ((1,),)))  # fmt: skip
    report = Report("support of 'net'", findings=findings, tables=tables)
    monkeypatch.setattr("nibblefit.cli.inspection.inspected", lambda *_: report)
    assert _inspect("net.py:build") == 4
    shown = capsys.readouterr()
    assert "use relu instead" in shown.out
    assert "conv: fine" not in shown.out
    assert "with --details also: Memory" in shown.out
    assert "1 finding failed, first act: gelu: the target has no gelu" in shown.err


def test_what_names_no_network_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A source that no recipe could hold is a wrong input, not a defect."""
    assert _inspect("x" * 5000, "--input-shape", "1,8,8") == 2
    assert "names no network" in capsys.readouterr().err


def test_a_file_of_an_unknown_format_is_not_asked_for_its_shape(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong is the file, whether a shape is given or not."""
    Path("net.xyz").write_bytes(b"?")
    for words in ((), ("--input-shape", "1,8,8")):
        assert _inspect("net.xyz", *words) == 2
        assert "'net.xyz', which names no factory" in capsys.readouterr().err


def test_totals_carry_limits_and_findings_about_the_whole_network() -> None:
    """A metric's limit stands behind it; a passed finding without layer is a line of its own."""
    metrics = {"words_peak": 3.0, "words_limit": 768.0, "cycles": 1234.0, "free_limit": 7.0}
    report = Report(
        "x", frozen_mapping(metrics),
        (Finding("a.b", Status.PASSED, "fits"), Finding("a.c", Status.PASSED, "no", "layer")),
    )  # fmt: skip
    assert closing_lines(report) == ["fits", "total: words peak 3 of 768, cycles 1,234"]
    assert closing_lines(Report("x")) == []


def test_every_target_gets_a_layer_summary(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--details shows type, output shape and parameters of every layer, and a total."""
    assert _inspect(_write("net.py"), "--details") == 0
    shown = capsys.readouterr().out
    lines = [line.split() for line in shown[shown.index("Summary") :].splitlines()]
    assert ["0", "conv", "4", "×", "6", "×", "6", "40"] in lines
    assert ["3", "linear", "3", "435"] in lines
    assert ["total", "475"] in lines

"""The command, its files and its wording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.maxim.linting.cases import RESIDUAL

from nibblefit.cli import main
from nibblefit.errors import InputError
from nibblefit_maxim.linting.lint import Lint, LintOptions, lint_file
from nibblefit_maxim.linting.wording import json_of, lines_of
from nibblefit_maxim.parts import part_named


def test_sample_beside_the_file_gives_the_shape(tmp_path: Path) -> None:
    """As the compiler does, the linter looks for sample_DATASET.npy."""
    (tmp_path / "net.yaml").write_text(RESIDUAL.read_text())
    np.save(tmp_path / "sample_digits.npy", np.zeros((3, 16, 16), np.int64))
    lint = lint_file(tmp_path / "net.yaml", part_named(""))
    assert {f.rule.name for f in lint.findings} == {"checkpoint-absent"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((1, 3, 16, 16), np.int64), "expected C,H,W or C,L"),
        (np.full((3, 16, 16), 300), "values 300 to 300"),
        (np.zeros((3, 16, 16), np.int8), "expected int64"),
        (np.zeros((3, 16, 16), np.float32), "holds float32"),
    ],
)
def test_bad_sample_is_an_error(tmp_path: Path, values: Any, words: str) -> None:
    """Shape, type and range are the compiler's."""
    np.save(tmp_path / "s.npy", values)
    lint = lint_file(RESIDUAL, part_named(""), LintOptions(sample=tmp_path / "s.npy"))
    assert [f.rule.name for f in lint.errors] == ["sample"]
    assert words in lint.errors[0].message


def test_missing_files_are_named(tmp_path: Path) -> None:
    """YAML, checkpoint and sample that do not exist end in one clear line each."""
    part = part_named("")
    nothing = tmp_path / "nothing"
    with pytest.raises(InputError, match="nothing cannot be read"):
        lint_file(nothing, part)
    with pytest.raises(InputError, match=r"checkpoint .*nothing does not exist"):
        lint_file(RESIDUAL, part, LintOptions(checkpoint=nothing))
    with pytest.raises(InputError, match=r"sample .*nothing cannot be read"):
        lint_file(RESIDUAL, part, LintOptions(sample=nothing))
    nothing.write_text("text")
    with pytest.raises(InputError, match="no numpy array"):
        lint_file(RESIDUAL, part, LintOptions(sample=nothing))


def test_command_prints_findings_and_exits_4(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines an editor can jump to; the summary is the error."""
    wrong = str(RESIDUAL.with_name("residual_wrong.yaml"))
    assert main(["maxim", "lint", wrong, "--input-shape", "3,16,16"]) == 4
    shown = capsys.readouterr()
    assert "error overwrites-input: layer 4 ('fourth')" in shown.out
    assert "residual_wrong.yaml for the MAX78000: 3 errors, 1 note" in shown.err
    assert main(["maxim", "lint", str(RESIDUAL), "--input-shape", "3x16x16"]) == 0
    assert "residual.yaml for the MAX78000: 1 note" in capsys.readouterr().out


def test_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Everything a program needs, and nothing else on stdout."""
    wrong = str(RESIDUAL.with_name("residual_wrong.yaml"))
    assert main(["maxim", "lint", wrong, "--input-shape", "3,16,16", "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert (found["errors"], found["warnings"]) == (3, 0)
    assert {"line", "rule", "severity", "expected", "found", "remedy", "vendor"} == set(
        found["findings"][0]
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--part", "max78004"], "no part 'max78004'"),
        (["--input-shape", "3"], "no shape of one input"),
        (["--input-shape", "a,b"], "no shape of one input"),
    ],
)
def test_command_explains_bad_options(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """A device that does not exist and shapes that are none: one line, exit 2."""
    assert main(["maxim", "lint", str(RESIDUAL), *words]) == 2
    assert message in capsys.readouterr().err


def test_wording_of_a_file_without_findings(tmp_path: Path) -> None:
    """Nothing found is said as such."""
    lint = Lint("f.yaml", "MAX78000", ())
    assert lint.summary == "f.yaml for the MAX78000: nothing found"
    assert lines_of(lint) == []
    assert json_of(lint)["errors"] == 0

"""From a run folder to the file, with the numbers of the run in it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.core.report.run_folders import HISTORY, integer_report, make_run

from nibblefit.errors import MissingExtraError, WorkspaceError
from nibblefit.report import build_report
from nibblefit.report.collect import contents_of
from nibblefit.report.contents import Banks, Timeline, Tone
from nibblefit.results import Finding, Report, Status
from nibblefit.workspace import open_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run folder; tests only read it."""
    return make_run(tmp_path_factory.mktemp("runs") / "tiny")


def test_headlines_are_the_numbers_of_the_run(finished: Path) -> None:
    """Accuracies per network, the packed size and the exactness stand at the top."""
    shown = {line.label: line for line in contents_of(open_run(finished)).headlines}
    assert shown["Float model"].value == "88.89 %"
    assert shown["Integer graph"].value == "83.33 %"
    assert "drop 5.56 points" in shown["Integer graph"].detail
    # 12 weights of 4 bits and 3 biases of 8 bits; 15 numbers as float32 before.
    assert shown["Size of constants"].value == "9 B"
    assert shown["Size of constants"].detail == "float32: 60 B, 6.7 times smaller"
    assert shown["Bit-exactness"].value == "exact"
    assert shown["Bit-exactness"].detail == "engine: 1,234 integers"
    assert shown["Bit-exactness"].tone is Tone.GOOD


def test_every_kind_of_value_contributes(finished: Path) -> None:
    """Models bring curves, graphs sizes and histograms, artifacts files, reports the rest."""
    contents = contents_of(open_run(finished))
    assert (contents.title, contents.target, contents.part) == ("tiny", "toychip", "toy1")
    # The history that a model inherits is not shown again as the next training's own.
    trained = [(training.step, training.epochs) for training in contents.trainings]
    assert trained == [("float", HISTORY), ("qat", HISTORY)]
    assert [bar.text for bar in contents.noise[0].bars] == ["31.5 dB", "12.0 dB"]
    assert [bar.tone for bar in contents.noise[0].bars] == [Tone.PLAIN, Tone.BAD]
    assert contents.sizes[0].bars[0].text == "9 B"
    assert "int4, int8" in contents.sizes[0].bars[0].detail
    weights, activations = contents.histograms
    assert sum(weights.counts) == 12
    assert weights.edges[0] == -8
    assert weights.edges[-1] == 7
    assert activations.counts == (3, 4)
    assert contents.confusions[0].classes == ("a", "b", "c")
    assert contents.confusions[0].counts[2] == (0, 2, 4)
    assert [type(picture) for picture in contents.memory] == [Banks, Timeline]
    assert contents.files[0].path == "stages/06-compile/net.yaml"
    assert contents.files[0].size_bytes == 10


def test_steps_say_how_they_ended(finished: Path) -> None:
    """Finished and failed steps are listed with time and reason."""
    rows = {row.name: row for row in contents_of(open_run(finished)).steps}
    assert rows["float"].status == "done"
    assert rows["float"].seconds == 12.5
    assert rows["float"].why == "train.epochs 30 → 40"
    assert rows["last"].status == "failed"
    assert rows["last"].seconds is None


@pytest.mark.extra("report")
def test_report_lands_in_the_run_folder(finished: Path, tmp_path: Path) -> None:
    """The file is written where asked, self-contained, with recipe and provenance."""
    out = build_report(finished, tmp_path / "deep" / "r.html")
    text = out.read_text(encoding="utf-8")
    assert "://" not in text
    assert "net.py:f" in text
    assert "toy 1.0" in text
    assert build_report(finished) == finished / "report.html"
    assert (finished / "report.html").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    "memory",
    [
        ({"kind": "banks", "title": "t", "unit": "u", "used": [1], "capacity": [1, 2]},),
        ({"kind": "banks"},),
        ({"kind": "timeline", "title": "t", "unit": "u", "capacity": "x", "spans": []},),
        ({"kind": "pie"},),
        (7,),
    ],
    ids=str,
)
def test_broken_memory_picture_is_a_warning(tmp_path: Path, memory: object) -> None:
    """A picture that cannot be drawn is reported in the page and costs nothing else."""
    contents = contents_of(open_run(make_run(tmp_path / "run", memory=memory)))
    assert contents.memory == ()
    (warning,) = [f for _, f in contents.findings if f.rule == "report.memory"]
    assert warning.status is Status.WARNING
    assert "report.inspection" in {finding.rule for _, finding in contents.findings}
    assert "notes['memory']" in warning.hint


def test_differing_integers_are_the_first_thing_to_see(tmp_path: Path) -> None:
    """A failed comparison turns the headline bad."""
    run = make_run(tmp_path / "run", report=integer_report(exact=False))
    headline = contents_of(open_run(run)).headlines[-1]
    assert (headline.value, headline.tone) == ("differs", Tone.BAD)


def test_skipped_comparison_is_not_called_exact(tmp_path: Path) -> None:
    """If nothing was compared, nothing is claimed."""
    skipped = Report("x", findings=(Finding("exact.a", Status.SKIPPED, "no simulation"),))
    headline = contents_of(open_run(make_run(tmp_path / "run", report=skipped))).headlines[-1]
    assert (headline.value, headline.tone) == ("not compared", Tone.PLAIN)


def test_no_run_folder_is_one_clear_line(tmp_path: Path) -> None:
    """A folder without a run, and a run without a finished step, are refused."""
    with pytest.raises(WorkspaceError, match="no run folder"):
        build_report(tmp_path)
    (tmp_path / "stages").mkdir()
    with pytest.raises(WorkspaceError, match="no finished step"):
        build_report(tmp_path)


@pytest.mark.extra("report")
def test_report_that_cannot_be_written_says_so(finished: Path, tmp_path: Path) -> None:
    """An unwritable place is named, with the remedy."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(WorkspaceError, match="cannot write the report") as caught:
        build_report(finished, tmp_path / "file" / "r.html")
    assert "--out" in caught.value.hint


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_missing_extra_is_named(
    finished: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Without the extra, the error says which one to install."""
    for name in [n for n in sys.modules if n.partition(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match="'report'"):
        build_report(finished)

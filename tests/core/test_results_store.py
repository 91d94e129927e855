"""Reports and artifacts as JSON: equal after a round trip, refused when damaged or hostile."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from tests.core.ir.damage import assert_refused, rewrite

from nibblefit.ir.graph import frozen_mapping
from nibblefit.results import Artifact, ArtifactFile, Finding, Report, Status, Table
from nibblefit.results_store import (
    artifact_to_json,
    load_artifact,
    load_report,
    report_to_json,
    save_artifact,
    save_report,
)

REPORT = Report(
    "integer graph",
    frozen_mapping({"top1": 0.97}),
    (
        Finding(
            "fit.memory", Status.FAILED, "too large", "conv1", "fewer channels", 9.0, 8.0, "KiB"
        ),
        Finding("fit.layers", Status.PASSED, "fine"),
    ),
    (Table("Layers", ("name", "bits"), (("conv", 8), ("fc", None))),),
    frozen_mapping({"confusion": [[3, 0], [1, 2]]}),
)
ARTIFACT = Artifact(
    "maxim", "MAX78000", "ab" * 32,
    (ArtifactFile("yaml", PurePosixPath("net/net.yaml"), "cd" * 32),),
    frozen_mapping({"command": "compile net.yaml"}),
)  # fmt: skip


def test_reports_come_back_equal(tmp_path):
    """Metrics, findings, tables and arrays."""
    save_report(REPORT, tmp_path / "report.json")
    loaded = load_report(tmp_path / "report.json")
    assert loaded == REPORT
    assert [finding.rule for finding in loaded.failed] == ["fit.memory"]
    assert report_to_json(loaded)["metrics"] == {"top1": 0.97}


def test_artifacts_come_back_equal(tmp_path):
    """Files, digests and notes."""
    save_artifact(ARTIFACT, tmp_path)
    assert load_artifact(tmp_path) == ARTIFACT
    assert artifact_to_json(ARTIFACT)["files"] == [["yaml", "net/net.yaml", "cd" * 32]]


@pytest.mark.parametrize("change", [
    lambda c: c.update(metrics={"top1": "high"}),
    lambda c: c.update(findings=3),
    lambda c: c["findings"][0].update(status="perhaps"),
    lambda c: c["findings"][0].update(value="much"),
    lambda c: c["tables"][0].update(rows=[3]),
    lambda c: c["tables"][0].update(columns="ab"),
])  # fmt: skip
def test_forged_reports_are_refused(tmp_path, change):
    """Types are checked whatever the checksum says."""
    path = tmp_path / "report.json"
    save_report(REPORT, path)
    rewrite(path, change)
    assert_refused(load_report, path)


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "a/../../b"])
def test_artifact_paths_stay_inside_their_folder(tmp_path, path):
    """A file list cannot point anywhere else."""
    save_artifact(ARTIFACT, tmp_path)
    rewrite(tmp_path / "artifact.json", lambda c: c["files"][0].__setitem__(1, path))
    assert "leaves the artifact's folder" in assert_refused(
        lambda _: load_artifact(tmp_path), tmp_path / "artifact.json"
    )


def test_damaged_reports_give_one_clear_error(tmp_path):
    """Every truncation and 60 flipped bits."""
    path = tmp_path / "report.json"
    save_report(REPORT, path)
    content = path.read_bytes()
    for length in range(0, len(content) - 2, 37):
        path.write_bytes(content[:length])
        assert_refused(load_report, path)
    for place in range(0, len(content) - 1, len(content) // 60):
        flipped = bytearray(content)
        flipped[place] ^= 4
        path.write_bytes(bytes(flipped))
        assert_refused(load_report, path)

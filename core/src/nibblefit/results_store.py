"""Saving and loading reports and artifacts as JSON files."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import Any

from nibblefit.ir.archive import load_json, save_json
from nibblefit.ir.encoding import decode_value, encode_value, expect, number, texts
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.store import decoded
from nibblefit.results import Artifact, ArtifactFile, Finding, Report, Status, Table

REPORT = "report"
ARTIFACT = "artifact"


def save_report(report: Report, path: Path) -> None:
    """Write a report to a JSON file; WorkspaceError if that fails."""
    save_json(path, REPORT, report_to_json(report))


def load_report(path: Path) -> Report:
    """Return the report of a JSON file; InputError if it is damaged in any way."""
    content = load_json(path, REPORT)
    return decoded(path, lambda: _report_from(content))


def save_artifact(artifact: Artifact, folder: Path) -> None:
    """Write ``artifact.json`` into the artifact's folder; WorkspaceError if that fails."""
    save_json(folder / "artifact.json", ARTIFACT, artifact_to_json(artifact))


def load_artifact(folder: Path) -> Artifact:
    """Return the artifact that a folder describes; InputError if that is damaged in any way."""
    path = folder / "artifact.json"
    content = load_json(path, ARTIFACT)
    return decoded(path, lambda: _artifact_from(content))


def report_to_json(report: Report) -> dict[str, Any]:
    """Return a report as JSON values, for files and for ``--json``."""
    return {
        "subject": report.subject,
        "metrics": encode_value(report.metrics),
        "findings": [
            {item.name: encode_value(getattr(finding, item.name)) for item in fields(finding)}
            for finding in report.findings
        ],
        "tables": [
            {"title": t.title, "columns": list(t.columns), "rows": encode_value(t.rows)}
            for t in report.tables
        ],
        "arrays": encode_value(report.arrays),
    }


def artifact_to_json(artifact: Artifact) -> dict[str, Any]:
    """Return an artifact as JSON values, for files and for ``--json``."""
    return {
        "target": artifact.target,
        "part": artifact.part,
        "graph_digest": artifact.graph_digest,
        "files": [[file.role, str(file.path), file.sha256] for file in artifact.files],
        "notes": encode_value(artifact.notes),
    }


def _report_from(content: Any) -> Report:
    metrics = decode_value(expect(content["metrics"], dict))
    return Report(
        expect(content["subject"], str),
        frozen_mapping({name: float(number(value)) for name, value in metrics.items()}),
        tuple(_finding_from(item) for item in expect(content["findings"], list)),
        tuple(_table_from(item) for item in expect(content["tables"], list)),
        frozen_mapping(decode_value(expect(content["arrays"], dict))),
    )


def _finding_from(item: Any) -> Finding:
    found = decode_value(expect(item, dict))
    return Finding(
        rule=expect(found["rule"], str),
        status=Status(found["status"]),
        message=expect(found["message"], str),
        where=expect(found["where"], str),
        hint=expect(found["hint"], str),
        value=_number_or_none(found["value"]),
        limit=_number_or_none(found["limit"]),
        unit=expect(found["unit"], str),
    )


def _number_or_none(value: Any) -> float | None:
    return None if value is None else float(number(value))


def _table_from(item: Any) -> Table:
    rows = decode_value(expect(item["rows"], list), tuple)
    if not all(isinstance(row, tuple) for row in rows):
        raise TypeError("a table row is no list")
    return Table(expect(item["title"], str), texts(item["columns"]), tuple(rows))


def _artifact_from(content: Any) -> Artifact:
    return Artifact(
        expect(content["target"], str),
        expect(content["part"], str),
        expect(content["graph_digest"], str),
        tuple(_file_from(item) for item in expect(content["files"], list)),
        frozen_mapping(decode_value(expect(content["notes"], dict))),
    )


def _file_from(item: Any) -> ArtifactFile:
    role, path, sha256 = texts(item)
    inside = PurePosixPath(path)
    if inside.is_absolute() or ".." in inside.parts:
        raise ValueError(f"the path {path} leaves the artifact's folder")
    return ArtifactFile(role, inside, sha256)

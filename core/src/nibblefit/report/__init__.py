"""The report: one self-contained HTML file that shows what a run did and what came of it."""

from __future__ import annotations

from nibblefit.report.build import build_report

__all__ = ["build_report"]

"""What the linter prints: lines for people and editors, JSON for programs, the manual's table."""

from __future__ import annotations

from typing import Any

from nibblefit_maxim.linting.lint import Lint
from nibblefit_maxim.rules import RULES, Severity


def lines_of(lint: Lint) -> list[str]:
    """Return the findings in the form ``file:line: severity rule: message``."""
    lines = []
    for item in lint.findings:
        where = f"{item.file}:{item.line}" if item.line else item.file
        lines += [
            f"{where}: {item.rule.severity} {item.rule.name}: {item.message}",
            f"    → {item.remedy}",
        ]
    return lines


def json_of(lint: Lint) -> dict[str, Any]:
    """Return the findings as plain values."""
    return {
        "file": lint.file,
        "part": lint.part,
        "errors": len(lint.errors),
        "warnings": len(lint.of(Severity.WARNING)),
        "findings": [
            {
                "line": item.line,
                "rule": item.rule.name,
                "severity": item.rule.severity.value,
                "expected": item.rule.summary,
                "found": item.message,
                "remedy": item.remedy,
                "vendor": item.rule.vendor.value,
            }
            for item in lint.findings
        ],
    }


def rules_table() -> str:
    """Return every rule as a Markdown table."""
    rows = ["| rule | weight | vendor's compiler | what the rule asks for | remedy |",
            "|---|---|---|---|---|"]  # fmt: skip
    rows += [
        f"| `{rule.name}` | {rule.severity} | {rule.vendor} | {rule.summary} | {rule.remedy} |"
        for rule in RULES.values()
    ]
    return "\n".join(rows)

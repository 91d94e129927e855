"""Reads the fenced code blocks of the manual, so that tests can run every one of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(
    r"^```(?P<language>[\w-]*)[^\n]*\n(?P<body>.*?)^```\s*$", re.MULTILINE | re.DOTALL
)
#: Languages that are shown but not commands or code of ours to run.
SHOWN_ONLY = frozenset({"text", "toml", "json", "yaml", "ini", "mermaid", "csv", "diff"})


@dataclass(frozen=True)
class Block:
    """One fenced block: language, text, and the line it starts at."""

    language: str
    body: str
    line: int


def blocks_of(path: Path) -> list[Block]:
    """Return the fenced blocks of a Markdown file in order."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(m["language"], m["body"], text.count("\n", 0, m.start()) + 1)
        for m in _FENCE.finditer(text)
    ]


def commands_of(block: Block) -> list[str]:
    """Return the commands of a console block: lines that start with a dollar sign."""
    joined = re.sub(r"\\\n\s*>?\s*", " ", block.body)
    return [line[2:].strip() for line in joined.splitlines() if line.startswith("$ ")]


def pages(root: Path) -> list[Path]:
    """Return README and every page of the manual, generated references and results excepted."""
    manual = sorted((root / "docs").rglob("*.md"))
    kept = [p for p in manual if "reference" not in p.parts and p.name != "results.md"]
    return [root / "README.md", root / "CONTRIBUTING.md", *kept]

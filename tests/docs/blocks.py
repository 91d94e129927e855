"""Reads the fenced code blocks of the manual, so that tests can run every one of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(
    r"^```(?P<language>[\w-]*)(?P<words>[^\n]*)\n(?P<body>.*?)^```\s*$",
    re.MULTILINE | re.DOTALL,
)
#: ``file=path`` behind the language: the block is that file, not a part of the page's program.
_FILE = re.compile(r"\bfile=(\S+)")
#: Languages that are shown but not commands or code of ours to run.
SHOWN_ONLY = frozenset({"text", "toml", "json", "yaml", "ini", "mermaid", "csv", "diff"})


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        language: First word behind the fence.
        body: Its text.
        line: Line of the page it starts at.
        file: Path of the file it shows, empty for a block that is run.
    """

    language: str
    body: str
    line: int
    file: str = ""


def blocks_of(path: Path) -> list[Block]:
    """Return the fenced blocks of a Markdown file in order."""
    text = path.read_text(encoding="utf-8")
    found = []
    for m in _FENCE.finditer(text):
        file = _FILE.search(m["words"])
        line = text.count("\n", 0, m.start()) + 1
        found.append(Block(m["language"], m["body"], line, file[1] if file else ""))
    return found


def commands_of(block: Block) -> list[str]:
    """Return the commands of a console block: lines that start with a dollar sign."""
    joined = re.sub(r"\\\n\s*>?\s*", " ", block.body)
    return [line[2:].strip() for line in joined.splitlines() if line.startswith("$ ")]


def pages(root: Path) -> list[Path]:
    """Return README and every page of the manual, generated references and results excepted."""
    manual = sorted((root / "docs").rglob("*.md"))
    kept = [p for p in manual if "reference" not in p.parts and p.name != "results.md"]
    return [root / "README.md", root / "CONTRIBUTING.md", *kept]

"""Every Python block of docs/networks.md runs."""

from __future__ import annotations

import re

import pytest

BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def test_blocks_run(root, monkeypatch):
    """Each block is complete in itself and runs from the repository root."""
    blocks = BLOCK.findall((root / "docs" / "networks.md").read_text())
    assert len(blocks) >= 6
    monkeypatch.chdir(root)
    for number, block in enumerate(blocks):
        try:
            exec(compile(block, f"block {number}", "exec"), {"__name__": "__main__"})
        except Exception as problem:  # the block's number is what a writer needs
            pytest.fail(f"block {number}: {type(problem).__name__}: {problem}\n{block}")

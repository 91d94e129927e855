"""A way to write recipe files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Return a function that writes a recipe file."""

    def writer(content: str | bytes) -> Path:
        path = tmp_path / "recipe.toml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return writer

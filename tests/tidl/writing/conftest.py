"""Clears up after the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.tidl.writing.benches import BENCHES


@pytest.fixture(scope="session", autouse=True)
def _closed_benches() -> Iterator[None]:
    """Remove the folders of all benches at the end."""
    yield
    for bench in BENCHES.values():
        bench.close()
    BENCHES.clear()

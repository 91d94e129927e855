"""Fixtures of the whole suite: shared vectors, hypothesis profiles, and a count of what is absent."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "ci", max_examples=50, derandomize=True, deadline=None, suppress_health_check=_QUIET
)
settings.register_profile(
    "fuzz", max_examples=1000, deadline=None, suppress_health_check=_QUIET
)
settings.load_profile("ci")


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the repository root."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of vendor vectors and data sets, or skip: a user's clone has none."""
    if not SHARED.is_dir():
        pytest.skip("vendor vectors and data sets (../shared) are not beside this clone")
    return SHARED

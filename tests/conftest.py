"""Fixtures of the whole suite: shared vectors, hypothesis profiles, the example target."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "ci", max_examples=50, derandomize=True, deadline=None, suppress_health_check=_QUIET
)
settings.register_profile("fuzz", max_examples=1000, deadline=None, suppress_health_check=_QUIET)
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


# The out-of-tree example target is imported from its source here; tests/thirdparty also builds it
# as a wheel and runs the kit against it in a clean environment.
sys.path.insert(0, str(ROOT / "tests" / "thirdparty" / "toychip" / "src"))
# Its own test file belongs to it and runs where it is installed.
collect_ignore = ["thirdparty/toychip"]

"""Fixtures of the whole suite: shared vectors, hypothesis profiles, the example target."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers share the cores; torch reads this when it is first imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "ci", max_examples=50, derandomize=True, deadline=None, suppress_health_check=_QUIET
)
settings.register_profile("fuzz", max_examples=1000, deadline=None, suppress_health_check=_QUIET)
settings.load_profile("ci")

#: Extra of core → the modules that come with it.
EXTRAS = {
    "train": ("lightning", "torchmetrics", "sklearn"),
    "report": ("matplotlib", "jinja2"),
    "image": ("PIL",),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked ``extra("name", ...)`` where one of these extras is not installed."""
    there = {
        extra: all(find_spec(module) is not None for module in modules)
        for extra, modules in EXTRAS.items()
    }
    for item in items:
        for mark in item.iter_markers("extra"):
            for extra in mark.args:
                if not there[extra]:
                    item.add_marker(pytest.mark.skip(reason=f"extra '{extra}' is not installed"))


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

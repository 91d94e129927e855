"""Versions of what computes, noted in the journal at every start of a run."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("torch", "numpy", "onnx", "lightning")


def environment() -> dict[str, str]:
    """Return name → version of packages, Python and platform; nothing is imported for it."""
    found: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return {**found, "Python": platform.python_version(), "platform": platform.platform()}

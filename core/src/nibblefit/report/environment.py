"""Versions of what computes, as they are while the report is written."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("torch", "numpy", "onnx")


def environment_now() -> Iterator[tuple[str, str]]:
    """Yield what is installed where the report is written; each name says so.

    The steps may have run elsewhere or earlier, so this is no record of what made them.
    """
    when = "when this report was written"
    for package in _PACKAGES:
        try:
            yield f"{package} {when}", version(package)
        except PackageNotFoundError:
            yield f"{package} {when}", "not installed"
    yield f"Python {when}", platform.python_version()
    yield f"platform {when}", platform.platform()

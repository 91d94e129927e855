"""What importing nibblefit costs: nothing of torch until a stage needs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import nibblefit

MODULES = (
    "nibblefit",
    *(
        f"nibblefit.{name}"
        for name in ("recipe_file", "workspace", "hooks", "plugins", "runner", "ir", "fixed")
    ),
)


def test_torch_stays_out() -> None:
    """Recipes, run folders, plugins and plans are read without torch, onnx or lightning."""
    code = (
        f"import sys, {', '.join(MODULES)}; "
        "print([m for m in ('torch', 'onnx', 'lightning') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_public_names_are_there() -> None:
    """Each late name loads, and an unknown one is an ordinary AttributeError."""
    for name in nibblefit.__all__:
        assert getattr(nibblefit, name) is not None
        assert name in dir(nibblefit)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nibblefit.nothing

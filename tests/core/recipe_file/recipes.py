"""A valid recipe with every section, and what is wrong with a spoilt one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nibblefit.errors import ExitCode, RecipeError
from nibblefit.recipe_file import (
    read_recipe,
)

VALID = """\
# A full recipe.
[model]
source = "net.py:make"
arguments = { width = 8, name = "a = [b]" }
input_shape = [1, 8, 8]

[target]
name = "generic"
scales = "power_of_two"

[task]
kind = "classification"
options = { label_smoothing = 0.1 }

[data]
source = "digits"
range = [-1, 1]
std = [0.5]
augment = { shift = 1 }

[train]
epochs = 30
learning_rate = 1e-3
schedule = "cosine"

[[train.parameter_groups]]
patterns = ["stem.*"]

[train.qat]
epochs = 5
schedule_options = { floor = 0.01 }

[quantize.layers]
"stem.*" = { weight_bits = 8 }

[evaluate]
floor = 0.9

[run]
seed = 3
"""


def problems(path: Path, **overrides: Any) -> tuple[str, ...]:
    """Return the problems of a recipe that must have some."""
    with pytest.raises(RecipeError) as caught:
        read_recipe(path, {k.replace("__", "."): v for k, v in overrides.items()})
    assert caught.value.exit_code == ExitCode.USAGE
    return caught.value.problems

"""The quantize stage refuses to calibrate on nothing, and never invents data."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.core.targets.test_generic import _without_up
from tests.tao.test_loop import EXAMPLE

from nibblefit.errors import InputError
from nibblefit.models import Model
from nibblefit.recipe_file import read_recipe
from nibblefit_tao.options import TaoOptions
from nibblefit_tao.quantizing import quantize_model


def test_an_empty_calibration_set_is_refused() -> None:
    """One line that says what is empty and that noise would not help."""
    run = SimpleNamespace(
        options=TaoOptions(), recipe=read_recipe(EXAMPLE),
        calibration_data=SimpleNamespace(split=lambda _: [], class_names=()),
    )  # fmt: skip
    with pytest.raises(InputError, match="nothing to calibrate on: the training split") as caught:
        quantize_model(run, Model(_without_up()))  # type: ignore[arg-type]
    assert "noise" in caught.value.hint


def test_an_empty_folder_of_pictures_is_refused(tmp_path: Path) -> None:
    """By core's reader, with the folder's name, before anything is trained."""
    from nibblefit.data.folder import read_folder

    with pytest.raises(InputError, match=str(tmp_path)):
        read_folder(tmp_path, {})

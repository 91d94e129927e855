"""Options, devices and calibration flags."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from nibblefit.errors import RecipeError
from nibblefit.recipe import ModelSection, Recipe, TargetSection
from nibblefit.results import Status
from nibblefit_tidl.current.advice import recipe_findings
from nibblefit_tidl.current.modes import flags_of, mode_of, scale_type_of, training_mode
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.devices import (
    AM68A,
    DEVICES,
    TDA4VM,
    classic_device_named,
    device_named,
)


@pytest.mark.parametrize(
    ("level", "qat", "flags"), [(0, False, 64), (1, False, 7), (2, False, 6), (None, False, 7),
                                (None, True, 64), (1, True, 7)],
)  # fmt: skip
def test_levels_are_sums_of_flags(level: int | None, qat: bool, flags: int) -> None:
    """As the provider's option map has them; quantized training trusts its ranges."""
    assert flags_of(TidlOptions(accuracy_level=level, qat=qat)) == flags


def test_level_nine_takes_single_options() -> None:
    """Each switches one flag."""
    assert flags_of(TidlOptions(accuracy_level=9)) == 7
    assert flags_of(TidlOptions(accuracy_level=9, channel_wise_quantization=True)) == 15
    assert flags_of(TidlOptions(accuracy_level=9, weight_clipping=False)) == 5


@pytest.mark.parametrize("kind", [3, 4])
def test_tda4vm_has_no_zero_points(kind: int) -> None:
    """The refusal says what the accelerator lacks."""
    with pytest.raises(RecipeError) as caught:
        mode_of(TDA4VM, TidlOptions(quantization_scale_type=kind))
    assert "zero points and one weight scale per channel" in caught.value.problems[0]


def test_tda4vm_has_no_scales_per_channel() -> None:
    """Neither for depthwise layers."""
    with pytest.raises(RecipeError) as caught:
        mode_of(TDA4VM, TidlOptions(accuracy_level=9, channel_wise_quantization=True))
    assert "channel_wise_quantization" in caught.value.problems[0]


def test_presets_by_device() -> None:
    """Powers of two on TDA4VM, asymmetric elsewhere."""
    assert {name: scale_type_of(d, TidlOptions()) for name, d in DEVICES.items()} == {
        "tda4vm": 1, "am68a": 4, "am69a": 4, "am67a": 4, "am62a": 4,
    }  # fmt: skip
    assert training_mode(AM68A, TidlOptions(qat=True)).flags == 64


def test_devices_have_many_names() -> None:
    """Product, alias and silicon, in any case; others are refused with the way out."""
    assert device_named("AM68PA") is TDA4VM
    assert device_named("j721s2") is AM68A
    assert device_named("") is TDA4VM
    assert classic_device_named("TDA2X").eves == 4
    with pytest.raises(RecipeError, match="no part 'am62'") as caught:
        device_named("am62")
    assert "no accelerator" in (caught.value.hint or "")
    with pytest.raises(RecipeError) as caught:
        device_named("am5749")
    assert "tidl-classic" in (caught.value.hint or "")
    with pytest.raises(RecipeError, match="am68a"):
        classic_device_named("am68a")


@pytest.mark.parametrize(
    "options",
    [
        {"tensor_bits": 16, "mixed_precision_factor": 1.5},
        {"high_resolution_optimization": True, "params_16bit_names": ("a",)},
        {"tensor_bits": 32, "qat": True},
        {"quantization_scale_type": 0, "qat": True},
        {"mixed_precision_factor": 1.0},
        {"calibration_frames": 0},
        {"bias_calibration": False},
        {"accuracy_level": 2, "channel_wise_quantization": True},
        {"accuracy_level": 9, "quantization_scale_type": 4, "channel_wise_quantization": True},
    ],
)
def test_options_that_contradict_are_refused(options: dict[str, object]) -> None:
    """Before anything runs."""
    with pytest.raises(ValidationError):
        TidlOptions(**options)


def _recipe(part: str, steps: dict[str, dict[str, object]], **target: object) -> Recipe:
    return Recipe(
        model=ModelSection(source="net.onnx"),
        target=TargetSection(name="tidl", part=part, **target),
        train_steps=steps,
    )


def test_recipes_are_advised() -> None:
    """What the device lacks fails; unusual quantized training and few frames are remarked."""
    options = {"quantization_scale_type": 4}
    (found,) = recipe_findings(_recipe("tda4vm", {}, **options), TidlOptions(**options))
    assert found.status is Status.FAILED
    few = TidlOptions(qat=True, calibration_frames=2)
    rules = [f.where for f in recipe_findings(_recipe("am68a", {"qat": {"learning_rate": 0.01}}),
                                              few)]  # fmt: skip
    assert rules == ["train.qat.optimizer", "train.qat.learning_rate", "target.calibration_frames"]
    good = {"qat": {"optimizer": "sgd", "learning_rate": 1e-5}}
    assert recipe_findings(_recipe("am68a", good), TidlOptions(qat=True)) == []

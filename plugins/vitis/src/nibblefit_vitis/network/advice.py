"""What a recipe asks for that cannot be or would have no effect, and what is worth a word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nibblefit.errors import InputError
from nibblefit.recipe import Recipe
from nibblefit.recipe_file.idle import idle_findings
from nibblefit.results import Finding, Status
from nibblefit_vitis.configuration.keys import MEASURED
from nibblefit_vitis.configuration.merging import merge
from nibblefit_vitis.configuration.recipe_tables import configuration_of
from nibblefit_vitis.configuration.recipe_tables import recipe_findings as configuration_findings
from nibblefit_vitis.configuration.schema import Configuration
from nibblefit_vitis.options import VitisOptions
from nibblefit_vitis.settings import Device, Statistic
from nibblefit_vitis.writing.arch import arch_for, arch_of

#: Fewest calibration samples that draw no remark. Source: Vitis AI's manual, 100 to 1,000 images.
FEWEST_SAMPLES = 100
#: Keys of blocks that say how calibration finds formats, which quantized training learns.
_CALIBRATING = ("method", "percentage", "calib_statistic_method")


def recipe_findings(recipe: Recipe, options: VitisOptions) -> list[Finding]:
    """Return problems of the configuration, options without effect, and advice."""
    target = options.model_dump(include={"configuration", "settings", "parity"})
    folder = Path(recipe.folder)
    found = configuration_findings(target, recipe.quantize.layers, folder)
    if not found:
        configuration = configuration_of(target, recipe.quantize.layers, folder)
        found += _finetuned_after_training(options)
        found += idle_findings(recipe, dict(_idle(options, configuration)), options)
        if options.qat:
            found += _not_with_training(configuration)
    found += _unknown_dpu(options.arch, folder)
    if recipe.quantize.calibration_samples < FEWEST_SAMPLES and not options.qat:
        found.append(
            Finding(
                "vitis.calibration", Status.WARNING,
                f"{recipe.quantize.calibration_samples} calibration samples are few",
                "quantize.calibration_samples", f"use at least {FEWEST_SAMPLES}",
            )
        )  # fmt: skip
    return found


def _finetuned_after_training(options: VitisOptions) -> Iterator[Finding]:
    """Yield finetuning, which needs a calibration, beside quantized training, which has none."""
    if options.qat and options.fast_finetune:
        yield _failed("finetune", "fast_finetune trains weights after calibration, and with qat "
                      "there is none", "target.fast_finetune",
                      "keep one of target.qat and target.fast_finetune")  # fmt: skip


def _idle(options: VitisOptions, configuration: Configuration) -> Iterator[tuple[str, str]]:
    """Yield keys that nothing reads, as the rest of the recipe is, and why."""
    if options.qat:
        for key in ("target.batch_size", "quantize.calibration_samples", "calibration"):
            yield key, "with target.qat = true, where nothing is calibrated"
    elif not options.parity and _statistics(configuration) == {Statistic.POOLED}:
        why = "with calib_statistic_method pooled, where all samples are looked at together"
        yield "target.batch_size", why
    if configuration.device not in (Device.DPU, Device.FLEXML):
        yield "target.alignment", f"with target_device {configuration.device}, which aligns nothing"


def _statistics(configuration: Configuration) -> set[Statistic]:
    """Return how batches are combined, anywhere in the network."""
    return {
        merged.setting.calib_statistic_method
        for scope in merge(configuration, parity=False)
        for kind, merged in scope.merged.items() if kind in MEASURED
    }  # fmt: skip


def _not_with_training(configuration: Configuration) -> Iterator[Finding]:
    """Yield settings that quantized training has no use for; those for accuracy are refused."""
    for key in ("keep_first_last_layer_accuracy", "keep_add_layer_accuracy"):
        if getattr(configuration, key):
            yield _failed("qat", f"{key} searches formats after calibration, and with qat there "
                          "is none", "target.qat", f"keep one of {key} and qat")  # fmt: skip
    switches = [key for key in ("include_cle", "include_bias_corr") if getattr(configuration, key)]
    written = {key for scope in merge(configuration, parity=False)
               for merged in scope.merged.values() for key in merged.origins}  # fmt: skip
    unused = [*switches, *(key for key in _CALIBRATING if key in written)]
    if unused:
        yield Finding(
            "vitis.qat", Status.WARNING,
            f"without effect with qat: {', '.join(unused)}; thresholds are trained, equalization "
            "and bias correction are off", "target.qat", "leave them out",
        )  # fmt: skip


def _unknown_dpu(arch: str, folder: Path) -> Iterator[Finding]:
    """Yield what is wrong with ``target.arch``, before anything is trained."""
    if arch:
        try:
            arch_for("", arch_of(arch, folder))
        except InputError as error:
            yield _failed("arch", error.what, "target.arch", error.hint)


def _failed(rule: str, message: str, where: str, hint: str) -> Finding:
    return Finding(f"vitis.{rule}", Status.FAILED, message, where, hint)

"""What is legal in a configuration and worth a word: settings without effect, and replacements."""

from __future__ import annotations

from collections.abc import Iterator

from nibblefit_vitis.configuration.merging import merge
from nibblefit_vitis.configuration.problems import dotted
from nibblefit_vitis.configuration.schema import Configuration
from nibblefit_vitis.settings import Device, Method, RoundMode, ScaleType, TensorSetting

#: Bits of a DPU's codes; other widths can be simulated, but no compiler takes them.
DPU_BITS = 8


def remarks(configuration: Configuration, *, parity: bool) -> Iterator[str]:
    """Yield one sentence per setting that does not do what its key says."""
    if configuration.target_device is None:
        yield "target_device is not given: DPU is taken (the original stops there)"
    yield from _replaced(configuration)
    yield from _widths(configuration)
    yield from _without_effect(configuration, parity)
    if parity:
        yield from _ignored(configuration)


def _replaced(configuration: Configuration) -> Iterator[str]:
    seen: dict[tuple[str, str], int] = {}
    for number, entry in enumerate(configuration.layer_quantize_config):
        key = (entry.kind_of_name, entry.named)
        if key in seen:
            yield (f"layer_quantize_config[{seen[key]}] is replaced by entry {number}, which has "
                   f"the same {key[0]} '{key[1]}'")  # fmt: skip
        seen[key] = number


def _widths(configuration: Configuration) -> Iterator[str]:
    if configuration.device is not Device.DPU:
        return
    for scope in merge(configuration, parity=False):
        wide = [kind for kind, one in scope.merged.items()
                if one.setting.bit_width != DPU_BITS and scope.sets(kind)]  # fmt: skip
        if wide:
            place = f"{dotted(scope.path)}: " * (scope.entry is not None)
            yield (f"{place}bit_width of {', '.join(wide)} is not 8: this can be simulated, but "
                   "the DPU's compiler takes 8 bits only")  # fmt: skip


def _without_effect(configuration: Configuration, parity: bool) -> Iterator[str]:
    for scope in merge(configuration, parity=parity):
        place = f"{dotted(scope.path)}: " * (scope.entry is not None)
        own = {kind: one for kind, one in scope.merged.items() if scope.sets(kind)}
        unsigned = [kind for kind, one in own.items()
                    if one.setting.signed and not one.setting.symmetry]  # fmt: skip
        if unsigned:
            yield (f"{place}{', '.join(unsigned)} is not symmetric, so its codes are unsigned; "
                   "signed = true means nothing")  # fmt: skip
        unused = [kind for kind, one in own.items()
                  if "percentage" in one.origins
                  and one.setting.method is not Method.PERCENTILE]  # fmt: skip
        if unused:
            yield f"{place}percentage of {', '.join(unused)} is used by method percentile only"


def _ignored(configuration: Configuration) -> Iterator[str]:
    """Yield what the original accepts and its quantizers never look at."""
    if configuration.include_cle is not False and not configuration.convert_relu6_to_relu:
        yield ("convert_relu6_to_relu = false holds without equalization only: with include_cle "
               "every ReLU6 becomes ReLU, as in the original")  # fmt: skip
    scopes = merge(configuration, parity=True)
    for key in ("change_concat_input_fix", "change_pool_input_fix"):
        if getattr(configuration, key) and configuration.device in (Device.CPU, Device.GPU):
            yield f"{key} does nothing for {configuration.device}, as in the original"
    if configuration.device in (Device.DPU, Device.FLEXML):
        if any(one.setting.method is not Method.DIFFS and "method" in one.origins
               for scope in scopes for one in scope.merged.values()):  # fmt: skip
            yield "method is ignored, as in the original: diffs is used, for inputs maxmin"
        if configuration.device is Device.DPU:
            yield "round_mode of input is ignored, as in the original: half_up is used"
        return
    for scope in scopes:
        kinds = [kind for kind, one in scope.merged.items() if _stops(one.setting)]
        if kinds:
            yield (f"method mse of {', '.join(kinds)}: the original stops with a TypeError unless "
                   "round_mode is half_even; here it is computed")  # fmt: skip


def _stops(setting: TensorSetting) -> bool:
    return (
        setting.method is Method.MSE
        and setting.scale_type is ScaleType.FLOAT
        and setting.round_mode is not RoundMode.HALF_EVEN
    )

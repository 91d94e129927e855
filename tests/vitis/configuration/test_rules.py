"""Which settings go together: against a list of everything that is legal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.errors import InputError
from nibblefit_vitis.configuration.read import examine, parse_configuration
from nibblefit_vitis.configuration.repair import repaired

KINDS = ("input", "weights", "bias", "activation")
MEASURED = ("input", "activation")
ALL: dict[str, tuple[Any, ...]] = {
    "bit_width": (2, 4, 8, 16),
    "method": ("maxmin", "percentile", "entropy", "mse", "diffs"),
    "round_mode": ("half_even", "half_up", "half_down", "std_round"),
    "symmetry": (True, False),
    "per_channel": (True, False),
    "signed": (True, False),
    "narrow_range": (True, False),
    "scale_type": ("poweroftwo", "float"),
    "calib_statistic_method": ("modal", "max", "mean", "median", "pooled"),
}
PLAIN = {"bit_width": 8, "method": "maxmin", "round_mode": "std_round", "symmetry": True,
         "per_channel": False, "signed": True, "narrow_range": False, "scale_type": "poweroftwo",
         "calib_statistic_method": "modal"}  # fmt: skip

settings = st.fixed_dictionaries({key: st.sampled_from(values) for key, values in ALL.items()})
devices = st.sampled_from(["DPU", "CPU", "GPU", "FLEXML"])


def legal_families(device: str, kind: str, parity: bool) -> list[dict[str, tuple[Any, ...]]]:
    """Return what is legal as families: every choice of one value per key is accepted."""
    pooled = () if parity else ("pooled",)
    statistics = ALL["calib_statistic_method"]
    measured = kind in MEASURED
    modal = ("modal", *pooled) if measured else statistics
    largest = ("max", "mean", "median", *pooled) if measured else statistics
    shifts = {**ALL, "method": ("diffs", "maxmin"), "symmetry": (True,), "per_channel": (False,),
              "signed": (True,), "scale_type": ("poweroftwo",),
              "calib_statistic_method": modal}  # fmt: skip
    if device == "DPU":
        signs = ALL["signed"] if parity else (True,)
        rounding = ("half_up",) if kind == "activation" else ("std_round",)
        return [{**shifts, "signed": signs, "narrow_range": (False,), "round_mode": rounding}]
    if device == "FLEXML" and parity:
        return [dict(ALL)]
    one = {**ALL, "scale_type": ("float",), "per_channel": (False,)}
    extremes = {**one, "method": ("maxmin",), "calib_statistic_method": largest}
    histograms = {**one, "method": ("percentile", "entropy", "mse"), "symmetry": (True,),
                  "calib_statistic_method": largest}  # fmt: skip
    families = [shifts, extremes, histograms]
    if kind == "weights":
        families += [{**shifts, "per_channel": (True,)},
                     {**one, "per_channel": (True,), "method": ("maxmin",)}]  # fmt: skip
    return families


def is_legal(setting: dict[str, Any], device: str, kind: str, parity: bool) -> bool:
    """Return whether a setting is in a family; unsigned codes have no narrow range by default."""
    if not parity and setting["narrow_range"] and not (setting["signed"] and setting["symmetry"]):
        return False
    return any(all(setting[key] in values for key, values in family.items())
               for family in legal_families(device, kind, parity))  # fmt: skip


def file_of(device: str, kind: str, setting: dict[str, Any]) -> dict[str, Any]:
    """Return a file in which one kind has a setting and the others a plain legal one."""
    own = {key: value for key, value in setting.items()
           if kind in MEASURED or key != "calib_statistic_method"}  # fmt: skip
    tensors: dict[str, Any] = {"activation": {"round_mode": "half_up"}}
    tensors[kind] = own
    if device == "DPU" and kind in ("bias", "activation"):
        other = {"bias": "activation", "activation": "bias"}[kind]
        tensors.setdefault(other, {})["bit_width"] = setting["bit_width"]
    return {"target_device": device, "overall_quantize_config": dict(PLAIN),
            "tensor_quantize_config": tensors}  # fmt: skip


@given(device=devices, kind=st.sampled_from(KINDS), setting=settings, parity=st.booleans())
def test_a_setting_is_accepted_exactly_where_the_sheet_says(
    device: str, kind: str, setting: dict[str, Any], parity: bool
) -> None:
    """Every combination of values, on every device, in both modes."""
    if parity and setting["calib_statistic_method"] == "pooled":
        setting = {**setting, "calib_statistic_method": "modal"}
    configuration, problems = examine(file_of(device, kind, setting), parity=parity)
    assert configuration is not None
    assert (not problems.found) == is_legal(setting, device, kind, parity)


@given(device=devices, kind=st.sampled_from(KINDS), setting=settings)
def test_every_conflict_names_what_is_accepted_and_its_fix_works(
    device: str, kind: str, setting: dict[str, Any]
) -> None:
    """Doing what the messages say gives a legal file, and changes only what was named."""
    document = file_of(device, kind, setting)
    _, problems = examine(document)
    for one in problems.found:
        assert "accepted here is" in one.message
        assert one.edits
    mended, changes = repaired(document)
    parse_configuration(mended)
    assert bool(changes) == bool(problems.found)
    if not changes:
        assert mended == document


@given(overall=settings, entry=settings, kinds=st.sets(st.sampled_from(KINDS), min_size=1),
       device=devices)  # fmt: skip
def test_entries_for_layers_are_checked_and_mended_too(
    overall: dict[str, Any], entry: dict[str, Any], kinds: set[str], device: str
) -> None:
    """Network and entry alike end legal, whatever both say at first."""
    document = {
        "target_device": device,
        "overall_quantize_config": overall,
        "layer_quantize_config": [{"layer_type": "Conv2d", "quantizable_data_type": sorted(kinds),
                                   "overall_quantize_config": entry}],
    }  # fmt: skip
    mended, _ = repaired(document)
    parse_configuration(mended)


def test_bias_and_activation_of_a_dpu_are_equally_wide() -> None:
    """The network's and an entry's widths are compared; the fix makes them equal."""
    document: dict[str, Any] = {
        "target_device": "DPU",
        "tensor_quantize_config": {"bias": {"bit_width": 16}},
        "layer_quantize_config": [
            {"layer_name": "a", "quantizable_data_type": ["activation"],
             "overall_quantize_config": {"bit_width": 4}},
        ],
    }  # fmt: skip
    with pytest.raises(InputError, match="bias is 16, that of activation 8"):
        parse_configuration(document, parity=True)
    _, problems = examine(document)
    assert [one.path[0] for one in problems.found] == ["tensor_quantize_config"] * 2
    mended, _ = repaired(document)
    assert mended["tensor_quantize_config"]["bias"]["bit_width"] == 8
    parse_configuration(mended)


def test_widths_that_no_sum_holds_are_refused() -> None:
    """1 and 0 bits never, more than 16 for biases only; parity lets 0 pass as the original does."""
    for width, kind in [(1, "weights"), (17, "activation"), (32, "input")]:
        document = {"target_device": "CPU", "tensor_quantize_config": {kind: {"bit_width": width}}}
        with pytest.raises(InputError, match=f"bit_width = {width}"):
            parse_configuration(document)
        parse_configuration(document, parity=True)
    zero = {"target_device": "CPU", "tensor_quantize_config": {"weights": {"bit_width": 0}}}
    with pytest.raises(InputError, match="bit_width = 0; accepted is a whole number from 2 to 32"):
        parse_configuration(zero)
    assert any("bit_width = 0 is ignored" in note
               for note in parse_configuration(zero, parity=True).notes)  # fmt: skip
    wide = {"target_device": "CPU", "tensor_quantize_config": {"bias": {"bit_width": 32}}}
    assert not parse_configuration(wide).notes


@pytest.mark.parametrize("datatype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("parity", [False, True])
def test_other_datatypes_are_refused_by_name(datatype: str, parity: bool) -> None:
    """The message names the type, and nothing else is said about that tensor."""
    document = {"target_device": "CPU", "tensor_quantize_config": {
        "bias": {"datatype": datatype, "method": "entropy"}}}  # fmt: skip
    with pytest.raises(InputError) as caught:
        parse_configuration(document, parity=parity)
    assert f'"{datatype}"' in caught.value.what
    assert "problems" not in caught.value.what


def test_a_conflict_with_a_default_says_so() -> None:
    """Float scales alone leave method and statistic at the DPU's defaults, which do not fit."""
    document = {"target_device": "CPU", "overall_quantize_config": {"scale_type": "float"}}
    with pytest.raises(InputError) as caught:
        parse_configuration(document)
    text = caught.value.what
    assert 'method of input, weights, bias, activation is "diffs" by default' in text
    assert '"maxmin", "percentile", "entropy", "mse"' in text
    mended, _ = repaired(document)
    parse_configuration(mended)

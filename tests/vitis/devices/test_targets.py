"""Limits made from a fingerprint are those of the vendor's target definitions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.vitis.devices.prototxt import parse

from nibblefit_vitis.devices.catalogue import BOARDS, FINGERPRINTS, dpu_named
from nibblefit_vitis.devices.dpu import Bank, Dpu, Window
from nibblefit_vitis.devices.fingerprint import FAMILIES, features
from nibblefit_vitis.devices.synthesis import synthesised

FILES = ("DPUCVDX8G_ISA3_C32B3", *(f"DPUCZDX8G_ISA1_B{size}" for size in
         (512, 800, 1024, 1152, 1600, 2304, 3136, 4096)))  # fmt: skip


def definition(shared: Path, name: str) -> dict[str, Any]:
    """Return a target definition; fields that occur once are values, not lists."""
    return _single(parse((shared / "vendor/vitis/targets" / f"{name}.prototxt").read_text()))


def _single(found: dict[str, list[Any]]) -> dict[str, Any]:
    many = {"bank_group", "input_bank", "output_bank", "nonlinear_type", "elew_type", "alu_type"}
    plain = {name: [_single(one) if isinstance(one, dict) else one for one in values]
             for name, values in found.items()}  # fmt: skip
    return {name: values if name in many else values[0] for name, values in plain.items()}


def check_window(window: Window, limit: dict[str, str], pads: dict[str, str] | None) -> None:
    """Compare one window's limits with those of a definition."""
    assert window.kernel.text == limit["kernel_size"]
    assert window.stride.text == limit["stride"]
    assert (window.stride_out_h.text if window.stride_out_h else None) == limit.get("stride_out_h")
    if pads is not None:
        assert window.pad_begin is not None
        assert window.pad_end is not None
        assert {window.pad_begin.text} == {pads["pad_left"], pads["pad_top"]}
        assert {window.pad_end.text} == {pads["pad_right"], pads["pad_bottom"]}


@pytest.mark.parametrize("name", FILES)
def test_everything_of_a_definition_follows_from_its_fingerprint(shared: Path, name: str) -> None:
    """Engines, banks, limits and functions, field by field."""
    wanted = definition(shared, name)
    kind = next(number for number, family in FAMILIES.items() if family == wanted["type"])
    value = kind << 56 | wanted["isa_version"] << 48 | wanted["feature_code"]
    assert FINGERPRINTS[name].value == value
    dpu = synthesised(FINGERPRINTS[name])
    assert dpu is not None
    assert dpu_named(name).name == wanted["name"] == dpu.name
    conv, alu = wanted["conv_engine"], wanted["alu_engine"]
    assert dpu.channels_in == conv["input_channel_parallel"]
    assert dpu.channels_out == conv["output_channel_parallel"]
    assert dpu.pixels == conv["pixel_parallel"]
    check_window(dpu.convolution.window, conv["conv_limit"], None)
    assert list(dpu.convolution.after) == conv["nonlinear"]["nonlinear_type"]
    assert dpu.depthwise is not None
    assert dpu.pooling is not None
    check_window(dpu.depthwise.window, alu["alu_limit"], alu["pad_limit"])
    assert dpu.pooling.largest == dpu.pooling.average == dpu.depthwise.window
    assert list(dpu.depthwise.after) == alu["nonlinear"]["nonlinear_type"]
    banks = {one["name"]: Bank(one["bank_num"], one["bank_width"], one["bank_depth"])
             for one in wanted["bank_group"]}  # fmt: skip
    assert dpu.convolution.bank == banks[conv["weight_bank"]]
    assert dpu.depthwise.bank == banks[alu["weight_bank"]]
    assert list(dpu.elementwise) == wanted["eltwise_engine"]["elew_type"]
    assert list(dpu.elementwise_after) == wanted["eltwise_engine"]["nonlinear"]["nonlinear_type"]
    assert {*dpu.alone} == {*alu["alu_type"]} & {"prelu", "leaky_relu", "hsigmoid"}
    assert dpu.argmax is wanted["save_engine"]["argmax"]
    assert dpu.images == wanted.get("batch", 1)
    code = features(wanted["feature_code"])
    assert code.alu_pixels == alu["pixel_parallel"]
    assert code.image_banks == sum(one["type"] == "Virtual" for one in wanted["bank_group"])
    assert bool(code.augmentation) == ("channel_augmentation" in conv)


def lines(shared: Path) -> list[re.Match[str]]:
    """Return the lines of the list of all target definitions."""
    text = (shared / "vendor/vitis/arch/fingerprints_from_prototxt.txt").read_text()
    pattern = (r"(\S+) +(0x\w+) ICP=(\d+) OCP=(\d+) PP=(\d+) conv k=(\S+) s=(\S+) banks=(\d+) "
               r"batch=\[(?:'batch: (\d+)')?\]")  # fmt: skip
    found = [re.fullmatch(pattern, line) for line in text.splitlines()]
    assert all(found)
    return [one for one in found if one]


def test_every_listed_name_has_its_fingerprint_and_sizes(shared: Path) -> None:
    """All of the list, and only the one retired name beside it."""
    listed = lines(shared)
    assert len(listed) == 34
    assert {*FINGERPRINTS} - {one[1] for one in listed} == {"DPUCZDX8G_ISA0_B4096_MAX_BG2"}
    for one in listed:
        name, code, inputs, outputs, pixels, kernel, stride, _, batch = one.groups()
        dpu = dpu_named(name)
        assert dpu.name == name
        assert str(dpu.fingerprint) == code
        assert (dpu.channels_in, dpu.channels_out, dpu.pixels) == (
            int(inputs), int(outputs), int(pixels)
        )  # fmt: skip
        assert dpu.convolution.window.kernel.text == kernel
        assert dpu.convolution.window.stride.text == stride
        assert dpu.images == int(batch or 1)
        assert dpu.source


def test_boards_have_the_largest_dpu_of_their_family() -> None:
    """KV260, ZCU102 and ZCU104, in any case of letters."""
    for board in ("KV260", "zcu102", "ZCU104"):
        assert dpu_named(board) == dpu_named("DPUCZDX8G_ISA1_B4096")
    assert {*BOARDS} == {"kv260", "zcu102", "zcu104"}


def test_what_is_not_published_is_said(shared: Path) -> None:
    """Names whose definition is known by one line only carry a doubt."""
    doubted = {name for name in FINGERPRINTS if dpu_named(name).doubt}
    assert doubted == {"DPUCAHX8L_ISA0_SP", "DPUCVDX8H_ISA1_F2W2_8PE", "DPUCADF8H_ISA0"}
    assert doubted <= {one[1] for one in lines(shared)}


def test_operations_are_those_in_the_names() -> None:
    """B4096 is 4096 operations per cycle, and so on."""
    for name in FINGERPRINTS:
        if name.startswith("DPUCZDX8G_ISA1_B"):
            dpu: Dpu = dpu_named(name)
            assert dpu.operations == int(name.rpartition("B")[2])

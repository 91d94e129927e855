"""Fingerprints: parts, features, names, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.errors import InputError
from nibblefit_vitis.devices.catalogue import FINGERPRINTS, dpu_named, dpu_of, name_of
from nibblefit_vitis.devices.dpu import After, Allowed
from nibblefit_vitis.devices.fingerprint import FAMILIES, explained, features, parse, split
from nibblefit_vitis.devices.synthesis import synthesised


@given(value=st.integers(0, 2**64 - 1))
def test_parts_and_features_lose_no_bit(value: int) -> None:
    """Splitting and joining, decoding and encoding are inverse for every 64 bits."""
    found = split(value)
    assert found.value == value
    assert parse(str(found)) == found
    code = features(found.features)
    assert code.code == found.features
    assert (code.architecture, code.alu_pixels) == (value & 15, value >> 8 & 15)
    bits = explained(found.features)
    assert bits["argmax"] == value >> 30 & 1
    assert bits["leaky_relu"] == value >> 28 & 1


@given(value=st.integers(0, 2**56 - 1), kind=st.sampled_from([*FAMILIES, 0, 77]))
def test_any_fingerprint_gives_limits_or_one_clear_line(value: int, kind: int) -> None:
    """Known layouts are made from the bits; of others the family is named."""
    fingerprint = split(kind << 56 | value)
    if synthesised(fingerprint) is None and not name_of(fingerprint):
        with pytest.raises(InputError, match="layout of its features is not known") as caught:
            dpu_of(fingerprint)
        assert FAMILIES.get(kind, "unknown family") in caught.value.what
        return
    dpu = dpu_of(fingerprint)
    assert dpu.fingerprint == fingerprint
    assert dpu.most_channels == 256 * dpu.channels_in


@given(architecture=st.integers(0, 11), pixels=st.integers(0, 15), leaky=st.booleans(),
       parallel=st.integers(0, 3))  # fmt: skip
def test_features_of_the_common_family_become_limits(
    architecture: int, pixels: int, leaky: bool, parallel: int
) -> None:
    """Sizes, functions and the rows that reading several weights at once costs."""
    code = architecture | pixels << 8 | 2 << 24 | int(leaky) << 28 | parallel << 32
    dpu = dpu_named(f"0x{0x0101 << 48 | code:x}")
    assert dpu.operations == 2 * dpu.pixels * dpu.channels_in**2
    assert (After.LEAKY_RELU in dpu.convolution.after) is leaky
    rows = dpu.pixels / 2**parallel
    assert dpu.convolution.window.stride_out_h is not None
    limit = dpu.convolution.window.stride_out_h.highest
    assert limit == (4 if parallel == 0 or rows >= 4 else int(rows))


def test_older_silicon_is_recognized(shared: Path) -> None:
    """The fingerprint of the 2.5 images has no argmax; that of 2.0 is a retired name."""
    files = sorted((shared / "vendor/vitis/arch").glob("*.json"))
    assert len(files) == 6
    for path in files:
        dpu = dpu_named(json.loads(path.read_text())["fingerprint"])
        assert dpu.name == "DPUCZDX8G_ISA1_B4096_0101000016010407"
        assert not dpu.argmax
        assert dpu.operations == 4096
    assert dpu_named("0x1000020f6014407").name == "DPUCZDX8G_ISA0_B4096_MAX_BG2"


def test_names_and_fingerprints_lead_to_each_other() -> None:
    """Every name's fingerprint is its own."""
    for name, fingerprint in FINGERPRINTS.items():
        assert name_of(fingerprint) == name
        assert dpu_named(str(fingerprint)) == dpu_named(name)
    assert not name_of(split(3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kv2600", "no DPU or board 'kv2600'"),
        ("0x", "is no fingerprint"),
        ("0x12345678901234567", "is no fingerprint"),
        ("0xyz", "is no fingerprint"),
        ("0x020200000010002c", "of DPUCAHX8H, instruction set 2"),
        ("0x010100005601040f", "of DPUCZDX8G"),
        ("0x0603000b5601f811", "of DPUCVDX8G"),
        ("0x0901400044000149", "of DPUCV2DX8G"),
        ("0xff00000000000000", "unknown family 0xff"),
    ],
)
def test_what_is_no_dpu_is_refused(text: str, message: str) -> None:
    """One line, with what could be meant."""
    with pytest.raises(InputError, match=message) as caught:
        dpu_named(text)
    assert caught.value.hint


@given(low=st.integers(0, 20), high=st.integers(0, 20), value=st.integers(0, 25))
def test_ranges_and_lists_hold_their_numbers(low: int, high: int, value: int) -> None:
    """Both forms of a definition's limits."""
    assert (value in Allowed(f"{low}-{high}")) == (low <= value <= high)
    assert (value in Allowed(f"{low},{high}")) == (value in (low, high))
    assert Allowed(f"{low},{low + high}").highest == low + high

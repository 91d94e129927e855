"""Traces written from our own integers: equal ones agree, each fault is found where it is."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from tests.tidl.triage.dumping import Dump, clipped

from nibblefit.errors import InputError
from nibblefit.fixed.formats import Format, IntArray
from nibblefit.fixed.quantize import dequantize
from nibblefit.ir.float_reference import run_float
from nibblefit_tidl.triage.traces.comparing import SIGN, float_figures
from nibblefit_tidl.triage.traces.partial import part_before, recomputed
from nibblefit_tidl.triage.traces.reading import Layout

STEM, BARE, SUM, HEAD = "stem.norm.relu", "b", "join.relu", "head"


@pytest.mark.parametrize(("part", "bits"), [("tda4vm", 8), ("am68a", 8), ("tda4vm", 16)])
def test_equal_traces_are_equal(tmp_path: Path, part: str, bits: int) -> None:
    """Every tensor agrees, by itself too, with symmetric, asymmetric and 16-bit integers."""
    dump = Dump(tmp_path / "t", part=part, bits=bits)
    dump.write()
    found = dump.check()
    assert [error.layer for error in found.errors] == list(dump.layers)
    assert [error.data_id for error in found.errors] == [dump.data_id(a) for a in dump.layers]
    assert all(error.count == 0 and error.size > 0 for error in found.errors)
    assert all(error.own == 0 for error in found.errors[1:])
    assert found.first is None
    assert not found.problems
    assert "equal" in found.verdict


def test_single_steps_are_rounding(tmp_path: Path) -> None:
    """Differences of one step are told from larger ones."""
    dump = Dump(tmp_path / "t")
    codes = dump.codes[STEM].copy()
    places = codes < 200
    places.ravel()[::2] = False
    codes[places] += 1
    dump.write(stem__norm__relu=codes)
    found = dump.check()
    assert found.first is not None
    assert found.first.layer.name == STEM
    assert found.first.count == places.sum()
    assert found.first.beyond == 0
    assert found.first.cause.startswith("rounding")
    assert found.first_beyond is None
    assert "within one step" in found.verdict


def test_wrong_layer_is_the_one_named(tmp_path: Path) -> None:
    """A bias fault in one layer goes on in the next ones, which are right by themselves."""
    dump = Dump(tmp_path / "t")
    wrong = clipped(dump.codes[BARE] + np.array([0, 9, 0, 0, -7, 0, 0, 0])[:, None, None],
                    dump.graph, BARE)  # fmt: skip
    known = {name: dump.codes[name] for name in ("x", STEM, "pool", "a.relu")} | {BARE: wrong}
    later: dict[str, IntArray] = {}
    for name in (SUM, "mean", "head.flat", HEAD):
        made = recomputed(dump.graph, known | later, name)
        assert made is not None
        later[name] = made
    dump.write(b=wrong, join__relu=later[SUM], mean=later["mean"], head__flat=later["head.flat"],
               head=later[HEAD])  # fmt: skip
    found = dump.check()
    first = found.first_beyond
    assert first is not None
    assert first.layer.name == BARE
    assert first.own == first.largest == 9
    assert first.cause.startswith("bias or zero point")
    assert "feeds a sum" in first.cause
    assert first.beyond == np.count_nonzero(np.abs(wrong - dump.codes[BARE]) > 1)
    after = {error.layer.name: error for error in found.errors}[SUM]
    assert after.beyond
    assert after.own == 0
    assert after.cause.startswith("earlier layers")
    assert f"'{BARE}'" in found.verdict


def test_unsigned_codes_where_ours_are_signed(tmp_path: Path) -> None:
    """A rectifier the tools merged before the sum: half the step, nothing negative."""
    dump = Dump(tmp_path / "t")
    ours = dump.codes[BARE]
    dump.write(b=np.clip(2 * ours, 0, 255))
    first = dump.check().first_beyond
    assert first is not None
    assert first.layer.name == BARE
    assert first.cause.startswith(f"{SIGN}: read as unsigned")
    assert "feeds a sum" in first.cause


def test_signed_codes_where_ours_are_unsigned(tmp_path: Path) -> None:
    """A rectifier the tools left out: twice the step, and negative values where ours are zero."""
    dump = Dump(tmp_path / "t")
    ours = dump.codes[STEM]
    dump.write(stem__norm__relu=np.where(ours > 0, ours // 2, -5))
    first = dump.check().first_beyond
    assert first is not None
    assert first.layer.name == STEM
    assert first.cause.startswith(f"{SIGN}: read as signed")


def test_channel_order_and_scale_are_told_apart(tmp_path: Path) -> None:
    """Core's diagnoses name swapped channels and a wrong shift."""
    dump = Dump(tmp_path / "t")
    dump.write(stem__norm__relu=dump.codes[STEM][:, ::-1])
    swapped = dump.check().first_beyond
    dump.write(stem__norm__relu=dump.codes[STEM] // 4)
    shifted = dump.check().first_beyond
    assert swapped is not None
    assert swapped.cause.startswith("channel order")
    assert shifted is not None
    assert shifted.cause.startswith("scale: found is about 0.25 times")


def test_float_traces_tell_conversion_from_quantization(tmp_path: Path) -> None:
    """A right float trace has no error; its codes' step against ours is found from both."""
    dump = Dump(tmp_path / "t")
    dump.write()
    layer, fmt = dump.layer(STEM), dump.graph.tensors[STEM].format
    real = dequantize(dump.codes[STEM], fmt) * 1.5
    dump.path(layer, "_float.bin").write_bytes(real.astype("<f4").tobytes())
    error = {e.layer.name: e for e in dump.check().errors}[STEM]
    assert error.step_ratio == pytest.approx(1.5, rel=1e-5)
    assert error.float_decibels is not None
    assert error.float_decibels < 10.0


def test_float_traces_alone(tmp_path: Path) -> None:
    """Our own float tensors as traces have no error beyond float32; no code is compared."""
    dump = Dump(tmp_path / "t")
    dump.write()
    real = run_float(dump.model, {"x": dump.real})
    for layer in dump.layers:
        dump.path(layer).unlink()
        dump.path(layer, "_float.bin").write_bytes(real[layer.name].astype("<f4").tobytes())
    found = dump.check(frames=dump.real)
    assert all(error.float_decibels and error.float_decibels > 100 for error in found.errors)
    assert all(error.size == 0 and error.step_ratio is None for error in found.errors)
    assert "no code was compared" in found.verdict


def test_bad_float_trace_is_one_line(tmp_path: Path) -> None:
    """A float trace of one frame, or cut short, is left out and named."""
    dump = Dump(tmp_path / "t")
    dump.write()
    path = dump.path(dump.layer(STEM), "_float.bin")
    path.write_bytes(bytes(13))
    assert "has 13 bytes" in dump.check().problems[0]
    path.unlink()
    path = path.with_name(path.name.replace("_00002_", "_00001_", 1))
    path.write_bytes(np.zeros(8 * 12 * 12, "<f4").tobytes())
    found = dump.check()
    assert found.problems == (f"'{STEM}': 1 frames traced, the input has 2",)
    assert found.first is None


def test_a_tensor_without_inside_codes_has_no_step() -> None:
    """Codes that are all at an end of the range say nothing about their step."""
    fmt = Format(8, False)
    real = np.ones((1, 4))
    assert float_figures(real, real, np.full((1, 4), 255), fmt) == (math.inf, None)


@pytest.mark.parametrize("layout", [Layout(1, 2, 3, 4), Layout(0, 0, 4, 0, channel_gap=6)])
def test_padded_traces_are_read_as_told(tmp_path: Path, layout: Layout) -> None:
    """Rows and channels with padding agree with the layout given, and are refused without."""
    dump = Dump(tmp_path / "t")
    dump.write()
    for layer in dump.layers:
        shape = dump.graph.tensors[layer.name].shape
        planes = (shape[0], *shape[1:]) if len(shape) == 3 else (1, 1, *shape)
        codes = dump.codes[layer.name].reshape(dump.frames, *planes)
        around = ((0, 0), (0, 0), (layout.top, layout.bottom), (layout.left, layout.right))
        padded = np.pad(codes, around, constant_values=99).reshape(dump.frames * planes[0], -1)
        padded = np.pad(padded, ((0, 0), (0, layout.channel_gap)), constant_values=77)
        dump.path(layer).write_bytes(padded.astype(np.uint8).tobytes())
    assert dump.check(layout=layout).first is None
    with pytest.raises(InputError, match="can be compared") as caught:
        dump.check(frames=dump.real)
    assert caught.value.what.count("\n") == len(dump.layers)
    assert "--padding" in caught.value.what


def test_input_can_be_given(tmp_path: Path) -> None:
    """Without a trace of the input, the real input does."""
    dump = Dump(tmp_path / "t")
    dump.write()
    dump.path(dump.layers[0]).unlink()
    assert dump.check(frames=dump.real).first is None


def test_parts_begin_at_the_nearest_known_tensors() -> None:
    """A part holds only the nodes in between; without a known start there is none."""
    dump = Dump(Path())
    part = part_before(dump.graph, {"pool", BARE}, SUM)
    assert part is not None
    assert set(part.inputs) == {"pool", BARE}
    assert len(part.nodes) == 1
    assert part_before(dump.graph, {"pool"}, STEM) is None
    assert recomputed(dump.graph, {"pool": dump.codes["pool"]}, STEM) is None

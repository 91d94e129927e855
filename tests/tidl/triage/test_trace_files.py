"""Names and bytes of trace files: what is documented is read, the rest is refused in one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tidl.triage.dumping import Dump

from nibblefit.errors import InputError
from nibblefit.fixed.formats import Format
from nibblefit_tidl.triage.layers import InfoRow, layers_of, read_layer_info, write_layer_info
from nibblefit_tidl.triage.traces.naming import TraceFile, trace_named
from nibblefit_tidl.triage.traces.reading import Layout, read_codes, read_floats

STEM = "stem.norm.relu"


def test_documented_name() -> None:
    """The example of TI's troubleshooting guide: data id 72, 256 channels, width 10, height 14."""
    found = trace_named(Path("tidl_trace0072_00001_00256_00010x00014.y"))
    assert found is not None
    assert (found.data_id, found.batches, found.channels) == (72, 1, 256)
    assert (found.width, found.height, found.is_float) == (10, 14, False)
    assert found.shape == (1, 1, 256, 14, 10)


def test_other_names() -> None:
    """Floating point, subgraph, two more axes, height first; anything else is no trace."""
    found = trace_named(
        Path("tidl_trace_subgraph_2_0003_00001_00002_00003_00008_00005x00004_float.bin")
    )
    assert found is not None
    assert (found.subgraph, found.data_id, found.outer) == (2, 3, (2, 3))
    assert found.is_float
    turned = trace_named(Path("tidl_trace0003_00001_00008_00005x00004.y"), height_first=True)
    assert turned is not None
    assert (turned.width, turned.height) == (4, 5)
    for name in ("tidl_trace0003.y", "trace0003_00001_00008_00005x00004.y", "tidl_trace.bin"):
        assert trace_named(Path(name)) is None


@given(
    signed=st.booleans(), wide=st.booleans(), size=st.tuples(*[st.integers(1, 5)] * 4),
    around=st.tuples(*[st.integers(0, 3)] * 4), gap=st.integers(0, 4), seed=st.integers(0, 99),
)  # fmt: skip
def test_codes_survive_any_layout(  # noqa: PLR0917
    tmp_path_factory: pytest.TempPathFactory, signed: bool, wide: bool,
    size: tuple[int, int, int, int], around: tuple[int, int, int, int], gap: int, seed: int,
) -> None:  # fmt: skip
    """A file put together value by value gives its codes back, whatever lies around them."""
    fmt = Format(16 if wide else 8, signed)
    frames, channels, height, width = size
    left, top, right, bottom = around
    random = np.random.default_rng(seed)
    codes = random.integers(fmt.lo, fmt.hi + 1, size)
    stored: list[int] = []
    for plane in codes.reshape(-1, height, width):
        blank = [1] * (left + width + right)
        stored += blank * top
        for row in plane.tolist():
            stored += [1] * left + row + [1] * right
        stored += blank * bottom + [1] * gap
    path = tmp_path_factory.mktemp("codes") / "trace.y"
    raw = b"".join(code.to_bytes(2 if wide else 1, "little", signed=signed) for code in stored)
    path.write_bytes(raw)
    trace = TraceFile(path, None, 1, frames, (1, 1), channels, width, height, False)
    layout = Layout(left, top, right, bottom, gap)
    found = read_codes(trace, layout, fmt, (channels, height, width))
    assert np.array_equal(found, codes)


def test_floats_of_both_widths(tmp_path: Path) -> None:
    """Four and eight bytes a value are told by the size; codes and infinities are refused."""
    values = np.arange(12.0).reshape(1, 3, 2, 2)
    trace = TraceFile(tmp_path / "f.bin", None, 1, 1, (1, 1), 3, 2, 2, True)
    for dtype in ("<f4", "<f8"):
        trace.path.write_bytes(values.astype(dtype).tobytes())
        assert np.array_equal(read_floats(trace, Layout(), (3, 2, 2)), values)
    trace.path.write_bytes(bytes(12))
    with pytest.raises(InputError, match="1 bytes a value"):
        read_floats(trace, Layout(), (3, 2, 2))
    trace.path.write_bytes(np.full(12, np.inf, "<f4").tobytes())
    with pytest.raises(InputError, match="not a number"):
        read_floats(trace, Layout(), (3, 2, 2))
    trace.path.unlink()
    with pytest.raises(InputError, match="cannot read"):
        read_floats(trace, Layout(), (3, 2, 2))


def test_layer_info_round_trip(tmp_path: Path) -> None:
    """Our table has the input, then one line per merged layer, and is read back as written."""
    dump = Dump(tmp_path)
    path = tmp_path / "layer_info.txt"
    write_layer_info(dump.layers, path)
    rows = read_layer_info(path)
    assert rows == tuple(InfoRow(a.layer_id, a.data_id, a.name) for a in dump.layers)
    assert [row.name for row in rows] == [
        "x", STEM, "pool", "a.relu", "b", "join.relu", "mean", "head.flat", "head",
    ]  # fmt: skip
    stem = dump.layers[1]
    assert (stem.op, stem.nodes) == ("conv", ("stem", STEM))
    assert path.read_text().startswith("0 0 x\n1 1 stem.norm.relu\n")


def test_classic_layers_swallow_pooling(tmp_path: Path) -> None:
    """The classic importer merges 2 × 2 pooling into a convolution that nobody else reads."""
    names = [layer.name for layer in layers_of(Dump(tmp_path).folded, classic=True)]
    assert "pool" in names
    assert STEM not in names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("0 0\n", ":1: '0 0' is not 'layer id, data id, name'"),
        ("0 0 x\n1 one y\n", ":2: '1 one y' is not"),
        ("0 0 x\n1 0 y\n", ":2: data id 0 is 'y', but was 'x' before"),
    ],
)
def test_bad_layer_info(tmp_path: Path, text: str, message: str) -> None:
    """Each fault is one line with file and line number."""
    path = tmp_path / "net.layer_info.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(message)):
        read_layer_info(path)


def test_layer_info_is_needed(tmp_path: Path) -> None:
    """None or two in the folder, or an unreadable one, is said."""
    dump = Dump(tmp_path / "t")
    dump.write()
    (info,) = dump.folder.glob("*layer_info.txt")
    second = info.with_name("subgraph_1_tidl_net.bin.layer_info.txt")
    second.write_bytes(info.read_bytes())
    with pytest.raises(InputError, match="as layer info"):
        dump.check()
    assert dump.check(layer_info=second).first is None
    second.unlink()
    info.unlink()
    with pytest.raises(InputError, match="has none as layer info"):
        dump.check()
    with pytest.raises(InputError, match="cannot read the layer info"):
        dump.check(layer_info=info)


def _truncate(dump: Dump) -> None:
    path = dump.path(dump.layer(STEM))
    path.write_bytes(path.read_bytes()[:-5])


def _unknown_id(dump: Dump) -> None:
    (dump.folder / "tidl_trace0099_00001_00001_00001x00001.y").write_bytes(b"\0")


def _strange_name(dump: Dump) -> None:
    (dump.folder / "tidl_trace_stem.y").write_bytes(b"\0")


def _twice(dump: Dump) -> None:
    path = dump.path(dump.layer(STEM))
    path.with_name(path.name.replace("_00008_", "_00009_")).write_bytes(b"\0")


def _swapped(dump: Dump) -> None:
    path = dump.path(dump.layer(STEM))
    path.rename(path.with_name(path.name.replace("00012x00012", "00018x00008")))


def _renamed(name: str) -> Callable[[Dump], None]:
    def change(dump: Dump) -> None:
        (info,) = dump.folder.glob("*layer_info.txt")
        info.write_text(info.read_text().replace(STEM, name))

    return change


def _one_frame(dump: Dump) -> None:
    path = dump.path(dump.layer(STEM))
    raw = path.read_bytes()
    path.unlink()
    path.with_name(path.name.replace("_00002_", "_00001_", 1)).write_bytes(raw[: len(raw) // 2])


def _wide(dump: Dump) -> None:
    path = dump.path(dump.layer(STEM))
    path.write_bytes(path.read_bytes() * 2)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_truncate, "has 2299 bytes; 2304 values (2x8x12x12, and padding as given) take 2304"),
        (_unknown_id, "has no data id 99"),
        (_strange_name, "tidl_trace_stem.y: not a name like"),
        (_twice, "several traces of data id 10"),
        (_swapped, "says 8 channels, width 18, height 8, ours is 8x12x12"),
        (
            _renamed("stem.norm.rely"),
            "is no tensor of this network; did you mean 'stem.norm.relu'?",
        ),
        (_renamed("stem.norm"), "'stem.norm' is merged into 'stem.norm.relu' here"),
        (_one_frame, "'stem.norm.relu': 1 frames traced, the input has 2"),
        (_wide, "has 2 bytes a value, ours 1 (uint8)"),
    ],
)
def test_bad_trace_is_one_line(tmp_path: Path, spoil: Callable[[Dump], None], message: str) -> None:
    """The others are compared all the same; the bad one is named with what is wrong."""
    dump = Dump(tmp_path / "t")
    dump.write()
    spoil(dump)
    found = dump.check()
    assert found.first is None
    assert len(found.errors) >= len(dump.layers) - 1
    (problem,) = found.problems
    assert message in problem
    assert "\n" not in problem


def test_sides_can_be_turned(tmp_path: Path) -> None:
    """Names that give the height first are refused with the option that reads them."""
    dump = Dump(tmp_path / "t")
    trace = TraceFile(tmp_path / "a.y", None, 1, 1, (1, 1), 2, 3, 4, False)
    trace.path.write_bytes(bytes(24))
    with pytest.raises(InputError, match="--height-first"):
        read_codes(trace, Layout(), Format(8), (2, 3, 4))
    dump.write()
    assert dump.check(height_first=True).first is None


def test_subgraphs_are_chosen(tmp_path: Path) -> None:
    """Traces of several subgraphs need a choice; an unknown one is refused."""
    dump = Dump(tmp_path / "t")
    dump.write()
    for layer in dump.layers:
        path = dump.path(layer)
        path.rename(dump.path(layer, prefix="_subgraph_1_"))
    assert dump.check().first is None
    other = dump.path(dump.layers[0], prefix="_subgraph_0_")
    other.write_bytes(b"\0")
    with pytest.raises(InputError, match="traces of subgraphs 0, 1"):
        dump.check()
    assert dump.check(subgraph=1).first is None
    with pytest.raises(InputError, match="none of subgraph 5"):
        dump.check(subgraph=5)


def test_no_traces_and_no_input(tmp_path: Path) -> None:
    """An empty folder, a missing one, a missing or misshapen input: each is said."""
    dump = Dump(tmp_path / "t")
    dump.write()
    dump.path(dump.layers[0]).unlink()
    with pytest.raises(InputError, match="no trace of the network's input 'x'"):
        dump.check()
    with pytest.raises(InputError, match=r"has shape \(2, 3, 12\)"):
        dump.check(frames=dump.real[..., 0])
    for path in dump.folder.glob("*.y"):
        path.unlink()
    with pytest.raises(InputError, match="holds no trace files"):
        dump.check()
    info = next(dump.folder.glob("*layer_info.txt"))
    dump.folder = tmp_path / "missing"
    with pytest.raises(InputError, match="cannot read the traces"):
        dump.check(layer_info=info)

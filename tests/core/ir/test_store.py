"""Saved graphs come back equal, byte for byte the same; damaged ones never come back at all."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.core.ir import everything
from tests.core.ir.damage import assert_refused, damaged_copies, rewrite

from nibblefit.errors import GraphError, InputError, WorkspaceError
from nibblefit.fixed.formats import Format, Scale
from nibblefit.ir import archive
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.legal import check_graph, check_quantized
from nibblefit.ir.quantized import Placement
from nibblefit.ir.reference import run
from nibblefit.ir.store import digest, load_graph, load_quantized, save_graph, save_quantized

QUANTIZED = everything.quantized()
FLOAT = everything.floating()


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_quantized_graphs_come_back_equal(tmp_path):
    """Structure, formats, steps, constants, states and metadata; and it still runs the same."""
    save_quantized(QUANTIZED, tmp_path)
    loaded = load_quantized(tmp_path)
    check_quantized(loaded)
    assert loaded.nodes == QUANTIZED.nodes
    assert dict(loaded.tensors) == dict(QUANTIZED.tensors)
    assert list(loaded.tensors) == list(QUANTIZED.tensors)
    assert loaded.metadata == {"note": "all operators"}
    assert digest(loaded) == digest(QUANTIZED)
    x = {"x": np.random.default_rng(0).integers(-128, 128, (2, 4, 6, 6))}
    found, expected = run(loaded, x).tensors, run(QUANTIZED, x).tensors
    assert all((found[name] == expected[name]).all() for name in expected)
    assert not loaded.constants["w"].flags.writeable


def test_float_graphs_come_back_equal(tmp_path):
    """float32 and float64 constants keep their type and bits."""
    weights = FLOAT.constants["w"].astype(np.float32)
    graph = FLOAT.with_constants({"w": weights})
    save_graph(graph, tmp_path)
    loaded = load_graph(tmp_path)
    check_graph(loaded)
    assert loaded.nodes == graph.nodes
    assert loaded.shapes == graph.shapes
    assert loaded.constants["w"].dtype == np.float32
    assert (loaded.constants["w"] == weights).all()
    assert digest(loaded) == digest(graph) != digest(FLOAT)


def test_the_same_graph_gives_the_same_bytes(tmp_path):
    """No time stamps, no order of insertion, no process id in the files."""
    save_quantized(QUANTIZED, tmp_path / "a")
    save_quantized(everything.quantized(), tmp_path / "b")
    save_quantized(load_quantized(tmp_path / "a"), tmp_path / "c")
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b") == bytes_of(tmp_path / "c")
    assert sorted(bytes_of(tmp_path / "a")) == ["quantized.json", "quantized.npz"]


def test_digests_see_every_field():
    """Another weight, step, scale, state or name is another graph."""
    first = QUANTIZED.nodes[0]
    tensor = QUANTIZED.tensors["x"]
    other = [
        replace(QUANTIZED, name="other"),
        replace(QUANTIZED, constants=frozen_mapping(
            {**QUANTIZED.constants, "w": QUANTIZED.constants["w"] + 1})),
        replace(QUANTIZED, states=frozen_mapping({"range": np.ones(3, dtype=np.int64)})),
        replace(QUANTIZED, metadata=frozen_mapping({})),
        replace(QUANTIZED, tensors=frozen_mapping({**QUANTIZED.tensors, "x": replace(
            tensor, format=Format(8, True, Scale.real(0.1)))})),
        QUANTIZED.with_nodes(replace(first, steps=first.steps[:-1]), *QUANTIZED.nodes[1:]),
        QUANTIZED.with_nodes(replace(first, placement=Placement.HOST), *QUANTIZED.nodes[1:]),
    ]  # fmt: skip
    assert len({digest(graph) for graph in [QUANTIZED, *other]}) == len(other) + 1


def test_graphs_survive_pickling_between_processes():
    """Workers of multi-process training get graphs by value."""
    for graph in (QUANTIZED, FLOAT):
        assert digest(pickle.loads(pickle.dumps(graph))) == digest(graph)
        assert digest(copy.deepcopy(graph)) == digest(graph)


@pytest.mark.parametrize("kind", ["graph", "quantized"])
def test_damaged_files_give_one_clear_error(tmp_path, kind):
    """90 truncated or bit-flipped copies of each kind; none loads, none crashes."""
    folder, load = tmp_path / kind, {"graph": load_graph, "quantized": load_quantized}[kind]
    folder.mkdir()
    save_graph(FLOAT, folder) if kind == "graph" else save_quantized(QUANTIZED, folder)
    for damaged in damaged_copies(folder, tmp_path, 90, seed=1):
        assert_refused(load, damaged)


@pytest.mark.parametrize("change", [
    lambda c: c["body"].pop("nodes"),
    lambda c: c["body"].update(name=3),
    lambda c: c["body"].update(nodes={}),
    lambda c: c["body"]["nodes"][0].update(op="explode"),
    lambda c: c["body"]["nodes"][0].update(inputs="xw"),
    lambda c: c["body"]["nodes"][0].update(placement="moon"),
    lambda c: c["body"]["nodes"][0]["steps"][0].update(name="Exec"),
    lambda c: c["body"]["nodes"][0]["steps"][0]["value"].update(shape=[3]),
    lambda c: c["body"]["nodes"][0]["steps"][0]["value"].update(dtype="object"),
    lambda c: c["body"]["nodes"][0]["steps"][0]["value"].update(values=[2**70] * 8),
    lambda c: c["body"]["nodes"][0]["steps"][0]["value"].update(values=[True] * 8),
    lambda c: c["body"]["nodes"][0]["steps"][1].update(bits="many"),
    lambda c: c["body"]["nodes"][0]["steps"][1].update(rounding="sideways"),
    lambda c: c["body"]["nodes"][0]["accumulator"].update(overflow="explode"),
    lambda c: c["body"]["tensors"][0].pop(),
    lambda c: c["body"]["tensors"][0][3].update(bits=99),
    lambda c: c["body"]["tensors"][0][3].update(scale={"steps": [-1.0]}),
    lambda c: c["body"]["tensors"][0][3].update(zero_point=5),
    lambda c: c["body"]["constants"].append("ghost"),
    lambda c: c["body"].update(metadata=[1]),
    lambda c: c.pop("arrays"),
    lambda c: c["arrays"].update(names=[1]),
    lambda c: c["arrays"].update(sha256="0"),
])  # fmt: skip
def test_forged_content_with_a_valid_checksum_is_refused(tmp_path, change):
    """Types and ranges are checked while decoding, whatever the checksum says."""
    save_quantized(QUANTIZED, tmp_path)
    rewrite(tmp_path / "quantized.json", change)
    assert_refused(load_quantized, tmp_path)


def test_wrong_types_of_arrays_are_refused(tmp_path):
    """Constants of a quantized graph are int64 and of a float graph floats."""
    save_quantized(QUANTIZED, tmp_path)
    arrays = {f"constant/{n}": c.astype(np.float64) for n, c in QUANTIZED.constants.items()}
    body, _ = archive.load(tmp_path, "quantized")
    archive.save(
        tmp_path, "quantized", body, {**arrays, "state/range": np.zeros(3, dtype=np.int64)}
    )
    assert "is float64" in assert_refused(load_quantized, tmp_path)


class Trap:
    """Creates a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def forge_arrays(folder: Path, content: bytes) -> None:
    """Put an npz file with a matching checksum into a stored folder."""
    (folder / "quantized.npz").write_bytes(content)
    seal = hashlib.sha256(content).hexdigest()
    rewrite(folder / "quantized.json", lambda c: c["arrays"].update(sha256=seal))


def npz_of(*entries: bytes, compression=zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as made:
        for index, entry in enumerate(entries):
            made.writestr(f"{index:06d}.npy", entry)
    return buffer.getvalue()


def npy_of(array, *, allow_pickle=False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def test_pickled_code_is_never_executed(tmp_path):
    """An object array, a bare pickle as JSON and a bare pickle as npz are refused unread."""
    save_quantized(QUANTIZED, tmp_path)
    count = len(QUANTIZED.constants) + 1
    trap = tmp_path / "executed"
    entry = npy_of(np.array([Trap(trap)], dtype=object), allow_pickle=True)
    forge_arrays(tmp_path, npz_of(*[entry] * count))
    assert "array type object" in assert_refused(load_quantized, tmp_path)
    forge_arrays(tmp_path, pickle.dumps(Trap(trap)))
    assert_refused(load_quantized, tmp_path)
    (tmp_path / "quantized.json").write_bytes(pickle.dumps(Trap(trap)))
    assert_refused(load_quantized, tmp_path)
    assert not trap.exists()


@pytest.mark.parametrize("content", [
    lambda n: npz_of(*[npy_of(np.zeros(3))] * (n + 1)),
    lambda n: npz_of(*[npy_of(np.zeros(10**6))] * n, compression=zipfile.ZIP_DEFLATED),
    lambda n: npz_of(*[b"\x93NUMPY\x02\x00" + b"\0" * 60] * n),
    lambda n: npz_of(*[npy_of(np.zeros((3, 4), order="F"))] * n),
    lambda n: npz_of(*[npy_of(np.zeros(3)).replace(b"(3,)", b"(9,)")] * n),
    lambda n: npz_of(*[npy_of(np.zeros(3)).replace(b"(3,)", b"(-1)")] * n),
    lambda n: npz_of(*[b"nonsense"] * n),
    lambda _: b"",
])  # fmt: skip
def test_forged_array_files_are_refused(tmp_path, content):
    """Too many entries, compressed ones (zip bombs), foreign versions, orders and shapes."""
    save_quantized(QUANTIZED, tmp_path)
    forge_arrays(tmp_path, content(len(QUANTIZED.constants) + 1))
    assert_refused(load_quantized, tmp_path)


@pytest.mark.parametrize(("text", "words"), [
    ("[" * 100000, "no readable quantized"),
    ("{}", "no readable quantized"),
    ("[]", "no readable quantized"),
    ('{"a": NaN}', "no readable quantized"),
    ('{"kind": "graph", "schema": 1, "content": 0, "sha256": ""}', "holds a graph"),
    ('{"kind": "quantized", "schema": 2, "content": 0, "sha256": ""}', "schema version 2"),
    ('{"kind": "quantized", "schema": 1, "content": 0, "sha256": ""}', "was changed"),
    ('{"kind": "quantized", "schema": 1, "content": NaN, "sha256": ""}', "no readable"),
])  # fmt: skip
def test_other_json_is_refused(tmp_path, text, words):
    """Deep nesting, other kinds, other versions and wrong checksums."""
    save_quantized(QUANTIZED, tmp_path)
    (tmp_path / "quantized.json").write_text(text)
    assert words in assert_refused(load_quantized, tmp_path)


def test_missing_and_huge_files_are_refused(tmp_path, monkeypatch):
    """No file, no folder, and files beyond the limits."""
    assert "No such file" in assert_refused(load_quantized, tmp_path)
    save_quantized(QUANTIZED, tmp_path)
    monkeypatch.setattr(archive, "JSON_LIMIT", 10)
    assert "expected at most 10" in assert_refused(load_quantized, tmp_path)
    monkeypatch.setattr(archive, "JSON_LIMIT", 1 << 28)
    (tmp_path / "quantized.npz").unlink()
    assert_refused(load_quantized, tmp_path)


def test_unwritable_places_are_named(tmp_path):
    """A file where the folder should be: one WorkspaceError, nothing left behind."""
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(WorkspaceError, match="cannot write"):
        save_quantized(QUANTIZED, blocked)
    with pytest.raises(WorkspaceError, match="cannot write"):
        archive.save_json(blocked / "x.json", "x", {})
    assert blocked.read_text() == "in the way"


def test_a_failed_write_leaves_the_old_file_and_no_scrap(tmp_path, monkeypatch):
    """A full disk in mid-write changes nothing."""
    save_quantized(QUANTIZED, tmp_path)
    before = bytes_of(tmp_path)

    def full(self, content):
        os.close(os.open(self, os.O_CREAT))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WorkspaceError, match="No space left"):
        save_quantized(replace(QUANTIZED, name="other"), tmp_path)
    monkeypatch.undo()
    assert bytes_of(tmp_path) == before


@pytest.mark.parametrize("value", [{"a": object()}, {3: 1}, {"$step": 1}, {"a": {1, 2}}])
def test_metadata_that_json_cannot_hold_is_refused(tmp_path, value):
    """Only numbers, text, sequences and mappings are kept."""
    with pytest.raises(GraphError, match=r"stored"):
        save_quantized(replace(QUANTIZED, metadata=frozen_mapping(value)), tmp_path)


def test_metadata_keeps_numbers_of_every_kind(tmp_path):
    """Scalars of numpy, infinities and nested values come back as plain Python."""
    facts = {"a": np.float32(0.5), "b": float("inf"), "c": [1, (2, {"d": None})], "e": True}
    save_quantized(replace(QUANTIZED, metadata=frozen_mapping(facts)), tmp_path)
    found = load_quantized(tmp_path).metadata
    assert found == {"a": 0.5, "b": float("inf"), "c": [1, [2, {"d": None}]], "e": True}


def test_the_json_file_is_readable_and_versioned(tmp_path):
    """Sorted keys, a schema number, a kind and a checksum."""
    save_graph(FLOAT, tmp_path)
    whole = json.loads((tmp_path / "graph.json").read_text("utf-8"))
    assert list(whole) == ["content", "kind", "schema", "sha256"]
    assert whole["schema"] == archive.SCHEMA


def test_empty_and_scalar_arrays_survive(tmp_path):
    """Arrays without entries and without axes are legal."""
    arrays = {"empty": np.zeros((0, 3)), "scalar": np.array(3, dtype=np.int64)}
    archive.save(tmp_path, "x", {}, arrays)
    _, found = archive.load(tmp_path, "x")
    assert found["empty"].shape == (0, 3)
    assert found["scalar"].shape == ()
    with pytest.raises(InputError):
        archive.load(tmp_path, "y")

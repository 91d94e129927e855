"""LMDB databases of Caffe datums: written, read, split, and refused where they are damaged."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from nibblefit.data import Split, make_data
from nibblefit.errors import InputError, MissingExtraError
from nibblefit.recipe import Recipe
from nibblefit_tidl.caffe.schema import new
from nibblefit_tidl.lmdb_sets import reading
from nibblefit_tidl.lmdb_sets.database import Database, write_records
from nibblefit_tidl.lmdb_sets.reading import LMDB_READER, LmdbOptions, read_lmdb
from nibblefit_tidl.lmdb_sets.writing import write_lmdb

pytest.importorskip("lmdb", reason="extra 'lmdb' of nibblefit-tidl is not installed")

RANDOM = np.random.default_rng(5)
PICTURES = RANDOM.integers(0, 256, (12, 3, 5, 4), dtype=np.uint8)
LABELS = np.arange(12, dtype=np.int64) % 3


def recipe(folder: Path, **data: object) -> Recipe:
    """Return a recipe whose data are a database."""
    return Recipe(
        model={"source": "net.py:make"}, target={"name": "tidl"}, folder=str(folder.parent),
        data={"source": "lmdb", "path": folder.name, "test": 0.25, "validation": 0.25, **data},
    )  # fmt: skip


def test_pictures_come_back_as_they_were_written(tmp_path: Path) -> None:
    """Through the recipe's data source: every pixel, every label, in disjoint splits."""
    write_lmdb(tmp_path / "set", PICTURES, LABELS)
    data = make_data(recipe(tmp_path / "set", range=(0, 256)), readers=(LMDB_READER,))
    assert data.input_shape == (3, 5, 4)
    assert tuple(data.class_names) == ("0", "1", "2")
    found = []
    for split in Split:
        pictures, labels = data.batch(split, 0, 12)
        found += [(x.tobytes(), y) for x, y in zip(pictures.astype(np.uint8), labels, strict=True)]
    expected = [(x.tobytes(), int(y)) for x, y in zip(PICTURES, LABELS, strict=True)]
    assert sorted(found) == sorted(expected)


@pytest.mark.extra("image")
@pytest.mark.parametrize("channels", [1, 3])
def test_encoded_pictures_are_decoded_to_caffes_order(tmp_path: Path, channels: int) -> None:
    """PNG is lossless: blue, green, red go in and come out; rgb turns them round."""
    pictures = PICTURES[:, :channels]
    write_lmdb(tmp_path / "set", pictures, LABELS, encoding="PNG")
    found = read_lmdb(tmp_path / "set", LmdbOptions())
    np.testing.assert_array_equal(found.inputs[:], pictures)
    turned = read_lmdb(tmp_path / "set", LmdbOptions(order="rgb"))
    np.testing.assert_array_equal(turned.inputs[:], pictures[:, ::-1])


def test_a_divided_set_keeps_its_parts(tmp_path: Path) -> None:
    """Folders whose names say train, val and test, as Caffe's examples call them."""
    parts = {"mnist_train_lmdb": slice(0, 6), "mnist_val_lmdb": slice(6, 9),
             "mnist_test_lmdb": slice(9, 12)}  # fmt: skip
    for name, part in parts.items():
        write_lmdb(tmp_path / "set" / name, PICTURES[part], LABELS[part])
    found = read_lmdb(tmp_path / "set", LmdbOptions(names=("a", "b", "c")))
    np.testing.assert_array_equal(found.inputs[:], PICTURES)
    assert (found.validation.tolist(), found.test.tolist()) == ([6, 7, 8], [9, 10, 11])
    assert found.class_names == ("a", "b", "c")
    write_lmdb(tmp_path / "set" / "other_train", PICTURES, LABELS)
    with pytest.raises(InputError, match="several databases for train"):
        read_lmdb(tmp_path / "set", LmdbOptions())


def test_large_sets_are_read_record_by_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any order, as slices and arrays, also after crossing a process border."""
    write_lmdb(tmp_path / "train", PICTURES[:7], LABELS[:7])
    write_lmdb(tmp_path / "val", PICTURES[7:], LABELS[7:])
    monkeypatch.setattr(reading, "MEMORY_BYTES", 10)
    stored = read_lmdb(tmp_path, LmdbOptions()).inputs
    assert not isinstance(stored, np.ndarray)
    stored = pickle.loads(pickle.dumps(stored))
    order = np.array([9, 0, 6, 7])
    np.testing.assert_array_equal(stored[order], PICTURES[order])
    np.testing.assert_array_equal(stored[3:9], PICTURES[3:9])
    assert stored[order[:0]].shape == (0, 3, 5, 4)


def test_floats_need_their_scale(tmp_path: Path) -> None:
    """Float datums are read exactly once the ends of their range are said."""
    values = RANDOM.normal(size=(4, 2, 3, 3)).astype(np.float32)
    write_lmdb(tmp_path / "set", values, LABELS[:4])
    with pytest.raises(InputError, match="lowest"):
        read_lmdb(tmp_path / "set", LmdbOptions())
    found = read_lmdb(tmp_path / "set", LmdbOptions(lowest=-4, full_scale=4))
    np.testing.assert_array_equal(found.inputs[:], values)
    assert (found.lowest, found.full) == (-4, 4)


def _record(**fields: object) -> bytes:
    datum = new("Datum")
    for name, value in fields.items():
        setattr(datum, name, value)
    return bytes(datum.SerializeToString())


def _annotated() -> bytes:
    outer = new("AnnotatedDatum")
    outer.datum.data, outer.datum.channels = b"abc", 3
    outer.type = 0
    return bytes(outer.SerializeToString())


GOOD = _record(channels=1, height=1, width=2, data=b"ab")


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([GOOD, b"\xff\xff"], "record 1 of .* is cut off or damaged"),
        ([_record(channels=1, height=2, width=2, data=b"abc")], "3 values for the shape"),
        ([GOOD, _record(channels=1, height=1, width=3, data=b"abc")], r"\(1, 1, 3\), the first"),
        ([_record(encoded=True, data=b"no picture")], "cannot be decoded"),
        ([_annotated()], "is an AnnotatedDatum, a picture with boxes"),
        ([_record(channels=1, height=1, width=2, data=b"ab", label=-1)], "label -1"),
        ([], "no record to train with"),
    ],
)
def test_damaged_records_are_named(tmp_path: Path, records: list[bytes], said: str) -> None:
    """The record's key, the database, and what is wrong."""
    write_records(tmp_path / "set", [(str(i).encode(), r) for i, r in enumerate(records)], 1 << 22)
    with pytest.raises(InputError, match=said):
        read_lmdb(tmp_path / "set", LmdbOptions())


def test_databases_that_cannot_be_used(tmp_path: Path) -> None:
    """No database, a damaged one, one that exists already, pictures that do not fit."""
    with pytest.raises(InputError, match="holds no LMDB database"):
        read_lmdb(tmp_path, LmdbOptions())
    with pytest.raises(InputError, match="holds no LMDB database"):
        list(Database(tmp_path / "nowhere").records())
    (tmp_path / "data.mdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(InputError, match="is damaged or cannot be used"):
        read_lmdb(tmp_path, LmdbOptions())
    with pytest.raises(InputError, match="holds a database already"):
        write_lmdb(tmp_path, PICTURES, LABELS)
    for pictures, labels, said in (
        (PICTURES, LABELS[:3], "one label each"), (PICTURES[0], LABELS[:3], "expected"),
        (PICTURES.astype(np.int64), LABELS, "uint8 or float32"),
        (PICTURES[:, :2], LABELS, "2 channels cannot be encoded"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            write_lmdb(tmp_path / "new", pictures, labels, encoding="PNG")
    write_lmdb(tmp_path / "good", PICTURES, LABELS)
    with Database(tmp_path / "good").opened() as get, pytest.raises(InputError, match="no record"):
        get(b"99")


def test_missing_packages_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra to install, for the database and for encoded pictures."""
    import sys

    write_lmdb(tmp_path / "set", PICTURES, LABELS, encoding="PNG")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match="'image'"):
        read_lmdb(tmp_path / "set", LmdbOptions())
    with pytest.raises(MissingExtraError, match="'image'"):
        write_lmdb(tmp_path / "more", PICTURES, LABELS, encoding="PNG")
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(MissingExtraError, match=r"nibblefit-tidl\[lmdb\]"):
        read_lmdb(tmp_path / "set", LmdbOptions())

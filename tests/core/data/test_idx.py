"""IDX files, good and bad."""

from __future__ import annotations

import contextlib
import gzip
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nibblefit.data.idx import read_idx
from nibblefit.data.idx_set import read_idx_set
from nibblefit.errors import InputError, RecipeError


def idx(array, code=8):
    """Encode an array as the format's description says."""
    head = struct.pack(">BBBB", 0, 0, code, array.ndim)
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


IMAGES = np.arange(6 * 2 * 3, dtype=np.uint8).reshape(6, 2, 3)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.uint8)


def write_pair(folder, stem="train", images=IMAGES, labels=LABELS, packed=False):
    """Write a pair of files under the family's names."""
    for name, content in (("images-idx3", idx(images)), ("labels-idx1", idx(labels))):
        path = folder / f"{stem}-{name}-ubyte{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [False, True])
def test_arrays_read_back(tmp_path, packed):
    """Plain and compressed files give the array, whatever their name says."""
    path = tmp_path / "any.name"
    path.write_bytes(gzip.compress(idx(IMAGES)) if packed else idx(IMAGES))
    assert np.array_equal(read_idx(path), IMAGES)


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(8, ">u1"), (9, ">i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")],
)
def test_every_element_type_reads_back(tmp_path, code, dtype):
    """All six element types are read in the machine's byte order."""
    array = np.array([[1, 2], [3, 100]]).astype(dtype)
    (tmp_path / "a").write_bytes(idx(array, code))
    found = read_idx(tmp_path / "a", axes=2)
    assert found.dtype.isnative
    assert np.array_equal(found, array)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "not an IDX"),
        (b"\x89PNG....", "not an IDX"),
        (b"\0\0\x08\x03\0\0", "header"),
        (idx(IMAGES)[:-1], "asks for"),
        (idx(IMAGES) + b"x", "asks for"),
        (gzip.compress(idx(IMAGES), mtime=0)[:-9], "damaged gzip"),
        (idx(LABELS), "1 axes, expected 3"),
    ],
)
def test_malformed_files_are_one_input_error(tmp_path, content, word):
    """Each kind of damage is named together with the file."""
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(InputError, match=word) as caught:
        read_idx(path, axes=3)
    assert str(path) in str(caught.value)
    assert caught.value.hint


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_gzip_is_refused_or_unchanged(tmp_path, data):
    """A flipped bit or a cut in a compressed file never gives other pixels."""
    whole = bytearray(gzip.compress(idx(IMAGES), mtime=0))
    if data.draw(st.booleans()):
        position = data.draw(st.integers(0, 8 * len(whole) - 1))
        whole[position // 8] ^= 1 << position % 8
    else:
        del whole[data.draw(st.integers(0, len(whole) - 1)) :]
    path = tmp_path / "damaged"
    path.write_bytes(whole)
    with contextlib.suppress(InputError):
        assert np.array_equal(read_idx(path, axes=3), IMAGES)


def test_family_names_are_found_and_test_files_kept_apart(tmp_path):
    """Standard names need no options, and the t10k pair becomes the test split."""
    write_pair(tmp_path, packed=True)
    write_pair(tmp_path, "t10k", IMAGES[:2] + 100, LABELS[:2])
    found = read_idx_set(tmp_path, {})
    assert found.inputs.shape == (8, 1, 2, 3)
    assert found.test.tolist() == [6, 7]
    assert np.array_equal(found.inputs[6:, 0], IMAGES[:2] + 100)
    assert found.class_names == ("0", "1", "2")


def test_first_divides_files_without_test_part(tmp_path):
    """`first` trains on the head of the file and tests on its tail."""
    write_pair(tmp_path)
    assert read_idx_set(tmp_path, {"first": 4}).test.tolist() == [4, 5]
    assert read_idx_set(tmp_path, {}).test is None


def test_first_shortens_training_beside_test_files(tmp_path):
    """With test files, samples after the first N are not used at all."""
    write_pair(tmp_path)
    write_pair(tmp_path, "t10k")
    found = read_idx_set(tmp_path, {"first": 2})
    assert found.inputs.shape[0] == 8
    assert found.test.tolist() == [2, 3, 4, 5, 6, 7]


def test_contradicting_files_are_refused(tmp_path):
    """Counts, shapes, labels and names that disagree each give one error."""
    write_pair(tmp_path, labels=LABELS[:5])
    with pytest.raises(InputError, match=r"6 images.*5 labels"):
        read_idx_set(tmp_path, {})
    write_pair(tmp_path)
    with pytest.raises(InputError, match="label 2, expected 0 … 1"):
        read_idx_set(tmp_path, {"names": ["a", "b"]})
    with pytest.raises(RecipeError, match="first is 7"):
        read_idx_set(tmp_path, {"first": 7})
    with pytest.raises(RecipeError, match="only one of"):
        read_idx_set(tmp_path, {"images": "x"})
    with pytest.raises(RecipeError, match="did you mean 'first'"):
        read_idx_set(tmp_path, {"frist": 7})
    write_pair(tmp_path, "t10k", IMAGES[:, :1])
    with pytest.raises(InputError, match="test images"):
        read_idx_set(tmp_path, {})


def test_missing_files_name_both_spellings(tmp_path):
    """The error says which names were looked for."""
    with pytest.raises(InputError, match="neither train-images-idx3-ubyte nor"):
        read_idx_set(tmp_path, {})
    with pytest.raises(InputError, match="cannot be read"):
        read_idx(tmp_path)


def test_mnist_reads(shared):
    """The real MNIST files give 60,000 and 10,000 images with their known first labels."""
    found = read_idx_set(shared / "data" / "mnist", {})
    assert found.inputs.shape == (70000, 1, 28, 28)
    assert found.targets[:5].tolist() == [5, 0, 4, 1, 9]
    assert found.test[0] == 60000
    assert found.targets[60000:60005].tolist() == [7, 2, 1, 0, 4]


def test_rows_become_a_sequence(tmp_path):
    """With layout = "rows" a step is a row and a channel is a column, in both splits."""
    write_pair(tmp_path)
    write_pair(tmp_path, "t10k", IMAGES[:2] + 100, LABELS[:2])
    found = read_idx_set(tmp_path, {"layout": "rows"})
    assert found.inputs.shape == (8, 3, 2)
    assert np.array_equal(found.inputs[0, :, 1], IMAGES[0, 1])
    assert np.array_equal(found.inputs[7, 2, :], IMAGES[1, :, 2] + 100)
    with pytest.raises(RecipeError, match="layout"):
        read_idx_set(tmp_path, {"layout": "columns"})


def test_padding_surrounds_every_picture_with_zeros(tmp_path):
    """`pad` adds as many zeros on all four sides, and keeps what is inside."""
    write_pair(tmp_path)
    found = read_idx_set(tmp_path, {"pad": 2}).inputs
    assert found.shape == (6, 1, 6, 7)
    assert np.array_equal(found[:, 0, 2:-2, 2:-2], IMAGES)
    assert found.sum(dtype=np.int64) == IMAGES.sum(dtype=np.int64)

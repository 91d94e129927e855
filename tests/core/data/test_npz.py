"""npz files and the arrays of Python factories."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nibblefit.data.npz import read_npz
from nibblefit.data.python_file import read_python
from nibblefit.errors import InputError, RecipeError

X = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
Y = np.array([0, 1, 1, 0])


def save(path, **arrays):
    """Write an npz file."""
    np.savez(path, **arrays)
    return path


def test_one_set_and_divided_sets(tmp_path):
    """x, y is left to be split; x_train … keeps its parts."""
    found = read_npz(save(tmp_path / "a.npz", x=X, y=Y), {})
    assert found.inputs.shape == (4, 1, 2, 3)
    assert (found.test, found.full) == (None, 256.0)
    found = read_npz(save(tmp_path / "b.npz", x_train=X, y_train=Y, x_test=X[:1], y_test=Y[:1]), {})
    assert found.test.tolist() == [4]
    assert found.class_names == ("0", "1")


@pytest.mark.parametrize(
    ("array", "layout", "shape"),
    [
        (X, "auto", (4, 1, 2, 3)),
        (X.astype(np.float32) / 99, "auto", (4, 2, 3)),
        (X[..., None], "channels_last", (4, 1, 2, 3)),
        (X, "channels_last", (4, 3, 2)),
        (X[:, 0], "auto", (4, 3)),
    ],
)
def test_layouts(tmp_path, array, layout, shape):
    """Integer arrays of three axes are gray pictures; the rest is as told."""
    assert (
        read_npz(save(tmp_path / "a.npz", x=array, y=Y), {"layout": layout}).inputs.shape == shape
    )


def test_floats_need_a_scale_unless_they_are_fractions(tmp_path):
    """Only the user knows the full scale of floats outside [0, 1]."""
    path = save(tmp_path / "a.npz", x=X.astype(np.float32) - 3, y=Y)
    with pytest.raises(InputError, match=r"from -3 to 20"):
        read_npz(path, {})
    found = read_npz(path, {"lowest": -3, "full_scale": 21})
    assert (found.lowest, found.full) == (-3, 21)
    path = save(tmp_path / "b.npz", x=X.astype(np.float32) / 99, y=Y)
    assert (read_npz(path, {}).lowest, read_npz(path, {}).full) == (0.0, 1.0)
    path = save(tmp_path / "c.npz", x=X.astype(np.int16), y=Y)
    assert (read_npz(path, {}).lowest, read_npz(path, {}).full) == (-32768, 32768)


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"a": X}, "expected x and y"),
        ({"x": X, "y": Y[:3]}, "4 inputs x and 3 targets"),
        ({"x": X, "y": Y - 1}, "label -1"),
        ({"x": X, "y": Y.astype(str)}, "<U"),
        ({"x": X[:, 0, 0], "y": Y}, "expected numbers of shape"),
        ({"x": np.full((4, 1), np.nan), "y": Y}, "NaN"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "only some parts"),
        ({"x_train": X, "x_test": X[:, :1]}, "parts of x differ"),
        ({"x": np.array([{}, {}], object)}, "object arrays are never loaded"),
    ],
)
def test_contradictions_are_input_errors(tmp_path, arrays, word):
    """Each contradiction between arrays is one clear error, objects included."""
    with pytest.raises(InputError, match=word) as caught:
        read_npz(save(tmp_path / "a.npz", **arrays), {})
    assert caught.value.hint


def test_pickles_are_not_executed(tmp_path):
    """A file that is a pickle is refused unread."""
    marker = tmp_path / "executed"
    (tmp_path / "a.npz").write_bytes(f"cos\nsystem\n(S'touch {marker}'\ntR.".encode())
    with pytest.raises(InputError):
        read_npz(tmp_path / "a.npz", {})
    assert not marker.exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_refused_or_unchanged(tmp_path, data):
    """A flipped bit or a cut never ends in a traceback or in other numbers."""
    path = save(tmp_path / "a.npz", x=X, y=Y)
    whole = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        position = data.draw(st.integers(0, 8 * len(whole) - 1))
        whole[position // 8] ^= 1 << position % 8
    else:
        del whole[data.draw(st.integers(0, len(whole) - 1)) :]
    path.write_bytes(whole)
    try:
        found = read_npz(path, {})
    except InputError:
        return
    assert np.array_equal(found.inputs[:, 0], X)


def test_single_array_file_is_refused(tmp_path):
    """An .npy under the wrong name is told apart."""
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, X)
    with pytest.raises(InputError, match="expected npz"):
        read_npz(tmp_path / "a.npz", {})
    with pytest.raises(InputError, match="does not exist"):
        read_npz(tmp_path / "b.npz", {})


SOURCE = """
import numpy as np
from nibblefit.data.arrays import ArraySource
from nibblefit.data.scaling import Scaling
from nibblefit.data.source import Split

def pair(count=4):
    return np.zeros((count, 1, 2), np.uint8), np.arange(count) % 2

def mapping():
    return {"x": np.zeros((2, 1)), "y": [0, 1]}

def source():
    return ArraySource(np.zeros((3, 1, 2), np.uint8), [0, 1, 0],
                       {split: np.arange(1) for split in Split}, Scaling(0, 256), ("a", "b"))

def nothing():
    return 3

def broken():
    return 1 / 0
"""


def test_python_factories(tmp_path):
    """Pairs, mappings and data sources are taken; arguments come from the options."""
    (tmp_path / "own.py").write_text(SOURCE)
    assert read_python("own.py:pair", tmp_path, {"count": 6}).inputs.shape == (6, 1, 1, 2)
    assert read_python("own.py:mapping", tmp_path, {}).targets.tolist() == [0, 1]
    assert read_python("own.py:source", tmp_path, {}).class_names == ("a", "b")


@pytest.mark.parametrize(
    ("reference", "kind", "word"),
    [
        ("own.py", RecipeError, "path/file.py:factory"),
        ("none.py:f", InputError, "does not exist"),
        ("own.py:missing", InputError, "no callable missing"),
        ("own.py:nothing", InputError, "returned int"),
        ("own.py:broken", InputError, "raised ZeroDivisionError"),
        ("no.such.module:f", InputError, "cannot be imported"),
        ("syntax.py:f", InputError, "SyntaxError"),
    ],
)
def test_python_factory_errors(tmp_path, reference, kind, word):
    """Every way to name or write a factory wrongly gives one explained error."""
    (tmp_path / "own.py").write_text(SOURCE)
    (tmp_path / "syntax.py").write_text("def f(:")
    with pytest.raises(kind, match=word):
        read_python(reference, tmp_path, {})

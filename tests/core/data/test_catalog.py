"""From recipe to data set."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from nibblefit.data import Split, make_data
from nibblefit.errors import InputError, MissingExtraError, RecipeError
from nibblefit.recipe import Recipe


def recipe(seed=1, folder=".", **data):
    """Return a recipe with a data section."""
    return Recipe.model_validate(
        {
            "model": {"source": "none"},
            "target": {"name": "generic"},
            "data": data,
            "run": {"seed": seed},
            "folder": str(folder),
        }
    )


def test_digits_fill_the_range_and_all_splits():
    """The embedded set has 1,797 samples in disjoint stratified splits."""
    pytest.importorskip("sklearn")
    data = make_data(recipe(), (-1.0, 1.0))
    sizes = {split: len(data.split(split)) for split in Split}
    assert sum(sizes.values()) == 1797
    assert sizes[Split.TEST] == round(0.2 * 1797)
    assert sizes[Split.VALIDATION] == round(0.1 * (1797 - sizes[Split.TEST]))
    inputs, targets = data.batch(Split.TEST, 0, 100)
    assert inputs.shape == (100, 1, 8, 8)
    assert (inputs.min(), inputs.max()) == (-1.0, 1.0)
    assert type(targets) is list
    assert set(targets) == set(range(10))


def test_range_precedence():
    """The recipe's range beats the target's, which beats [0, 1]."""
    pytest.importorskip("sklearn")
    tops = [
        make_data(recipe(**given), wish).batch(Split.TRAIN, 0, 50)[0].max()
        for given, wish in (({"range": [0, 2]}, (-1, 4)), ({}, (-1, 4)), ({}, None))
    ]
    assert tops == [2.0, 4.0, 1.0]


def test_missing_sklearn_names_the_extra(monkeypatch):
    """Without scikit-learn the error says what to install."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"nibblefit\[train\]"):
        make_data(recipe())


def test_samples_batches_and_take_agree(tmp_path):
    """One sample, a batch and any selection give the same values and targets."""
    inputs = np.arange(40 * 6, dtype=np.uint8).reshape(40, 2, 3, 1)
    np.savez(tmp_path / "a.npz", x=inputs, y=np.arange(40) % 4)
    data = make_data(recipe(source="npz", path="a.npz", folder=tmp_path))
    part = data.split(Split.TRAIN)
    batch, targets = data.batch(Split.TRAIN, 0, len(part))
    for index in (0, 5, len(part) - 1):
        one, target = part[index]
        assert np.array_equal(one, batch[index])
        assert target == targets[index]
    taken, chosen = data.take(Split.TRAIN, np.array([5, 0]))
    assert np.array_equal(taken, batch[[5, 0]])
    assert chosen.tolist() == [targets[5], targets[0]]
    with pytest.raises(IndexError):
        part[len(part)]


def test_splits_partition_the_set(tmp_path):
    """Every stored sample is in exactly one split."""
    inputs = np.arange(50, dtype=np.uint8).reshape(50, 1)
    np.savez(tmp_path / "a.npz", x=inputs, y=np.arange(50) % 2)
    data = make_data(recipe(source="npz", path="a.npz", folder=tmp_path, range=[0, 256]))
    seen = np.concatenate([data.batch(s, 0, 50)[0].reshape(-1) for s in Split])
    assert sorted(seen.astype(int)) == list(range(50))


def test_targets_may_be_the_inputs(tmp_path):
    """Without y the wanted output is the scaled input, for reconstruction."""
    np.savez(tmp_path / "a.npz", x=np.arange(20, dtype=np.uint8).reshape(20, 1))
    data = make_data(recipe(source="npz", path="a.npz", folder=tmp_path))
    inputs, targets = data.batch(Split.TRAIN, 0, 3)
    assert np.array_equal(np.stack(targets), inputs)


@pytest.mark.parametrize(
    ("data", "kind", "word"),
    [
        ({"source": "digts"}, RecipeError, "did you mean 'digits'"),
        ({"source": "idx"}, RecipeError, "needs data.path"),
        ({"options": {"a": 1}}, RecipeError, "unknown key 'a'"),
        ({"source": "npz", "path": "none.npz"}, InputError, "does not exist"),
    ],
)
def test_unusable_sections_are_explained(data, kind, word):
    """Unknown sources, missing paths and unknown options are one error each."""
    with pytest.raises(kind, match=word):
        make_data(recipe(**data))


def test_nothing_left_to_train_on_is_refused(tmp_path):
    """Shares that use up all samples are an error, not an empty training."""
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 1), np.uint8), y=np.zeros(4, int))
    with pytest.raises(InputError, match="no training samples"):
        make_data(recipe(source="npz", path="a.npz", folder=tmp_path, test=1.0))


@pytest.mark.parametrize(("given", "notes"), [
    ({}, []),
    ({"test": 0.2}, []),
    ({"test": 0.3, "validation": 0.3}, ["data.test: no effect: the source sets 6 samples apart"]),
    ({"validation": 0.3}, []),
])  # fmt: skip
def test_a_share_of_a_split_that_the_source_has_is_told(given, notes, tmp_path):
    """A share is only for splits that are made here."""
    images = np.zeros((10, 1, 2, 2), np.uint8)
    np.savez(
        tmp_path / "a.npz",
        x_train=images,
        y_train=np.arange(10) % 2,
        x_test=images[:6],
        y_test=np.arange(6) % 2,
    )
    data = make_data(recipe(source="npz", path="a.npz", folder=tmp_path, **given))
    assert [note.removesuffix(" itself") for note in data.notes] == notes


def test_a_share_is_refused_where_all_splits_come_from_the_source(tmp_path):
    """A python source hands over a whole data set; nothing would be divided."""
    (tmp_path / "own.py").write_text(
        "import numpy as np\n"
        "from nibblefit.data import Split\n"
        "from nibblefit.data.arrays import ArraySource\n"
        "from nibblefit.data.scaling import Scaling\n"
        "def make():\n"
        "    parts = {split: np.arange(2) for split in Split}\n"
        "    scaling = Scaling(0.0, 1.0, 0.0, 1.0)\n"
        "    return ArraySource(np.zeros((2, 1)), np.zeros(2, int), parts, scaling)\n"
    )
    given = {"source": "python", "path": "own.py:make", "folder": tmp_path}
    assert len(make_data(recipe(**given)).split(Split.TEST)) == 2
    with pytest.raises(RecipeError, match=r"no effect of data\.test and data\.validation"):
        make_data(recipe(**given, test=0.5, validation=0.5))


def test_whole_arrays_beside_a_part_are_refused(tmp_path):
    """Whether x holds the test samples, too, nobody can know."""
    images = np.zeros((10, 1, 2, 2), np.uint8)
    np.savez(tmp_path / "a.npz", x=images, y=np.arange(10) % 2, x_test=images)
    with pytest.raises(InputError, match="holds x, which is divided here, beside x_test"):
        make_data(recipe(source="npz", path="a.npz", folder=tmp_path))

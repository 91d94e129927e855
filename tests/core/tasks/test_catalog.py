"""From recipe to task, built-in or from another package."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from nibblefit.errors import PluginError, RecipeError
from nibblefit.recipe import Recipe
from nibblefit.tasks import catalog, make_task
from nibblefit.tasks.classification import Classification

DATA = SimpleNamespace(input_shape=(1, 8, 8), class_names=("a", "b"))


def recipe(kind, **options):
    """Return a recipe for a task."""
    return Recipe.model_validate(
        {
            "model": {"source": "none"},
            "target": {"name": "generic"},
            "task": {"kind": kind, "options": options},
            "data": {"range": [-1, 1]},
        }
    )


@pytest.mark.parametrize("kind", sorted(catalog.BUILT_IN))
def test_built_in_tasks_are_made(kind):
    """Every built-in kind gives a task of that name."""
    assert make_task(recipe(kind), DATA).name == kind


def test_options_reach_the_task():
    """Options of the recipe are the task's options; the range gives the peak."""
    assert make_task(recipe("classification", label_smoothing=0.1), DATA).options.label_smoothing
    assert make_task(recipe("reconstruction"), DATA).peak == 2.0
    assert make_task(recipe("reconstruction", peak=5), DATA).peak == 5


def test_mistakes_are_explained():
    """Unknown kinds and options name the closest known one; data must have classes."""
    with pytest.raises(RecipeError, match="did you mean 'detection'"):
        make_task(recipe("detecton"), DATA)
    with pytest.raises(RecipeError, match="unknown key 'anchors'"):
        make_task(recipe("detection", anchors=3), DATA)
    with pytest.raises(RecipeError, match="no classes"):
        make_task(recipe("classification"), SimpleNamespace(class_names=()))


def offer(monkeypatch, value):
    """Pretend that a package offers the task `counting`."""
    entry = EntryPoint("counting", value, catalog.GROUP)
    monkeypatch.setattr(catalog, "entry_points", lambda **_: [entry])


def stranger(recipe, data):
    """Return a task, as another package would."""
    return Classification(data.class_names)


def broken(recipe, data):
    """Fail."""
    raise ValueError("no such counter")


def lazy(recipe, data):
    """Return no task."""
    return 3


def test_tasks_of_other_packages(monkeypatch):
    """An entry point's factory is called with recipe and data; its faults name it."""
    here = "tests.core.tasks.test_catalog"
    offer(monkeypatch, f"{here}:stranger")
    assert make_task(recipe("counting"), DATA).class_names == ("a", "b")
    for name, word in (("broken", "no such counter"), ("lazy", "returned int"), ("gone", "gone")):
        offer(monkeypatch, f"{here}:{name}")
        with pytest.raises(PluginError, match=word):
            make_task(recipe("counting"), DATA)

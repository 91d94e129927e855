"""Model formats and data sources of plugins: offered, used, checked, and never twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field
from tests.core.pipeline.toys import Toy, toy_graph, toy_info, toy_recipe

from nibblefit.data.material import Material
from nibblefit.data.source import Split
from nibblefit.errors import InputError, PluginError, RecipeError, UnsupportedError
from nibblefit.hooks import DataReader, ModelFormat, ModelRequest, RefusedFormat, hookimpl
from nibblefit.ir.graph import Graph
from nibblefit.nn.load import load_source, states_its_shape
from nibblefit.plugins import Manager, plugin_of
from nibblefit.recipe import ModelSection, Recipe
from nibblefit.runner import RecipeSources
from nibblefit.workspace.fingerprint import network_files

ASKED: list[ModelRequest] = []


def read_toy(request: ModelRequest) -> Graph:
    """Return the toy graph and remember what was asked for."""
    ASKED.append(request)
    return toy_graph(request.source.read_text())


class SetOptions(BaseModel):
    """Options of the toy data set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(default=8, description="Samples.")


def read_set(path: Path, options: SetOptions) -> Material:
    """Return samples that all hold the length of the file."""
    value = len(path.read_text())
    inputs = np.full((options.count, 4), value, np.uint8)
    return Material(inputs, np.arange(options.count) % 2, 0.0, 256.0, ("even", "odd"))


FORMATS = (
    ModelFormat((".toy", ".net.toy"), "a toy", read_toy),
    RefusedFormat((".doll",), "a doll", "make a toy of it"),
)
READER = DataReader("toyset", "a toy set", SetOptions, read_set)


class Reading(Toy):
    """A target that reads files of its own."""

    @hookimpl
    def model_formats(self) -> Any:
        """Return the toy formats."""
        return FORMATS

    @hookimpl
    def data_readers(self) -> Any:
        """Return the toy set."""
        return [READER]


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """Return a recipe that names a toy file and a toy set."""
    (tmp_path / "a.TOY").write_text("doggy")
    (tmp_path / "a.weights").write_text("w")
    (tmp_path / "set.txt").write_text("12345")
    found = toy_recipe(
        model__source="a.TOY", model__weights="a.weights", data__source="toyset",
        data__path="set.txt", data__options={"count": 20}, model__arguments={"x": 1},
        run__seed=7,
    )  # fmt: skip
    return found.model_copy(update={"folder": str(tmp_path)})


def sources_of(target: object) -> RecipeSources:
    """Return the sources that a run with this target would use."""
    manager = Manager(plugin_of(target))
    return RecipeSources(manager.model_formats(), manager.data_readers())


def test_a_target_reads_its_own_networks_and_data(recipe: Recipe) -> None:
    """Suffixes ignore case; the reader gets paths, arguments and seed, the data core's splits."""
    sources = sources_of(Reading())
    assert sources.network(recipe, toy_info()).name == "doggy"
    folder = Path(recipe.folder)
    assert ASKED[-1] == ModelRequest(
        folder / "a.TOY", folder / "a.weights", (), recipe.model.arguments, 7
    )
    data = sources.data(recipe, toy_info())
    assert tuple(data.class_names) == ("even", "odd")
    pictures, _ = data.batch(Split.TRAIN, 0, 100)
    assert set(np.unique(pictures * 256)) == {5.0}
    assert sum(len(data.split(split)) for split in Split) == 20


def test_a_changed_file_makes_the_step_run_again(recipe: Recipe) -> None:
    """Network and weights of a plugin's format are known by their content."""
    before = network_files(recipe)
    assert set(before) == {"file a.TOY", "file a.weights"}
    (Path(recipe.folder) / "a.TOY").write_text("kitty")
    assert network_files(recipe) != before


def test_what_cannot_be_read_is_said(recipe: Recipe, tmp_path: Path) -> None:
    """Refused formats, missing files, unknown sources and options."""

    def load(**section: Any) -> Graph:
        return load_source(ModelSection(**section), tmp_path, (), formats=FORMATS)

    with pytest.raises(UnsupportedError, match=r"b\.doll is a doll, which is not read") as caught:
        load(source="b.doll")
    assert caught.value.hint == "make a toy of it"
    with pytest.raises(InputError, match=r"network file .*c\.toy does not exist"):
        load(source="c.toy")
    with pytest.raises(InputError, match=r"weights file .*c\.bin does not exist"):
        load(source="a.TOY", weights="c.bin")
    assert states_its_shape("x.ONNX")
    assert states_its_shape("x.toy", FORMATS)
    assert not states_its_shape("x.py:toy", FORMATS)
    sources = sources_of(Reading())
    for data, said in (({"source": "toyse"}, "did you mean 'toyset'"), (
        {"options": {"coun": 1}}, "did you mean 'count'")):  # fmt: skip
        other = recipe.model_copy(update={"data": recipe.data.model_copy(update=data)})
        with pytest.raises(RecipeError, match=said):
            sources.data(other, toy_info())


def test_without_the_plugin_its_words_mean_nothing(recipe: Recipe) -> None:
    """Another target knows neither the format nor the data source."""
    sources = sources_of(Toy())
    with pytest.raises(RecipeError, match="toyset"):
        sources.data(recipe, toy_info())
    settled = recipe.model_copy(
        update={"model": recipe.model.model_copy(update={"input_shape": (4,)})}
    )
    with pytest.raises(InputError, match="names no factory"):
        sources.network(settled, toy_info())


def _returning(formats: Any = (), readers: Any = ()) -> Manager:
    class Faulty(Toy):
        @hookimpl
        def model_formats(self) -> Any:
            return formats

        @hookimpl
        def data_readers(self) -> Any:
            return readers

    return Manager(plugin_of(Faulty()))


@pytest.mark.parametrize(
    ("formats", "said"),
    [
        ({"a": 1}, "returned a dict, expected a sequence"),
        (["toy"], "returned a str; expected"),
        ([ModelFormat((), "none", read_toy)], "expected a tuple of texts"),
        ([ModelFormat(("toy",), "no dot", read_toy)], "malformed"),
        ([ModelFormat((".onnx",), "mine", read_toy)], "'.onnx' of 'mine' belongs to 'nibblefit'"),
        ([*FORMATS, RefusedFormat((".toy",), "other", "")], "'.toy' of 'other' belongs to 'a toy'"),
        ([ModelFormat((".x",), "no code", None)], "cannot be called"),  # type: ignore[arg-type]
    ],
)
def test_faulty_formats_are_the_plugins_fault(formats: Any, said: str) -> None:
    """Wrong types, malformed suffixes and words claimed twice name their owner."""
    with pytest.raises(PluginError, match=said):
        _returning(formats=formats).model_formats()


@pytest.mark.parametrize(
    ("readers", "said"),
    [
        ([1], "returned a int; expected"),
        ([DataReader("npz", "mine", SetOptions, read_set)], "'npz' of 'mine' belongs to"),
        ([READER, READER], "'toyset' of 'a toy set' belongs to"),
        ([DataReader("Toy Set", "mine", SetOptions, read_set)], "malformed"),
        ([DataReader("toys", "mine", dict, read_set)], "no pydantic model"),  # type: ignore[arg-type]
    ],
)
def test_faulty_readers_are_the_plugins_fault(readers: Any, said: str) -> None:
    """Wrong types and words claimed twice name their owner."""
    with pytest.raises(PluginError, match=said):
        _returning(readers=readers).data_readers()


def test_extensions_may_contribute_too() -> None:
    """Formats of the target and of every extension are collected in their order."""

    class Extra:
        @hookimpl
        def model_formats(self) -> Any:
            return [RefusedFormat((".rag",), "a rag", "sew")]

    manager = Manager(plugin_of(Reading()), [plugin_of(Extra(), name="extra")])
    assert [item.summary for item in manager.model_formats()] == ["a toy", "a doll", "a rag"]

"""Discovery, loading and calling of plugins; every breach of the contract is named."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy
import pytest
from tests.core.pipeline.toys import (
    Recorder,
    Toy,
    Watcher,
    go,
    quantized,
    toy_graph,
    toy_info,
)

from nibblefit import plugins
from nibblefit.defaults import CoreDefaults
from nibblefit.errors import GraphError, LimitError, PluginError, RecipeError, StageError
from nibblefit.hooks import API, ApiVersion, hookimpl
from nibblefit.ir.graph import frozen_mapping
from nibblefit.models import Model
from nibblefit.plugins import (
    Manager,
    Plugin,
    discovery,
    list_targets,
    load_extension,
    load_target,
    plugin_of,
)
from nibblefit.results import Finding, Report, Status
from nibblefit.training.parts import TrainingPart


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Return a function that installs an entry point with a module of its own."""
    entries: list[metadata.EntryPoint] = []
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    class Dist:
        """Stands for an installed distribution."""

        def __init__(self, name: str) -> None:
            self.name, self.version = name, "1.2"

    def install(name: str, code: str, package: str = "", group: str = plugins.TARGETS,
                attribute: str = "TARGET") -> None:  # fmt: skip
        module = f"toy_{len(entries)}"
        (tmp_path / f"{module}.py").write_text(code)
        entry = metadata.EntryPoint(name, f"{module}:{attribute}", group)
        vars(entry).update(dist=Dist(package or f"nibblefit-{name}"))
        entries.append(entry)

    monkeypatch.setattr(
        discovery.metadata, "entry_points", lambda group: [e for e in entries if e.group == group]
    )
    yield install
    for name in set(sys.modules) - before:
        if name.startswith("toy_"):
            del sys.modules[name]


GOOD = """
from tests.core.pipeline.toys import Toy
TARGET = Toy()
"""


def test_only_the_chosen_target_is_imported(installed: Any) -> None:
    """A broken neighbour neither stops the run nor is imported."""
    installed("broken", "raise RuntimeError('no')")
    installed("toy", GOOD)
    plugin = load_target("toy")
    assert (plugin.name, plugin.package, plugin.version) == ("toy", "nibblefit-toy", "1.2")
    assert "toy_0" not in sys.modules


def test_listing_imports_nothing_unless_asked(installed: Any) -> None:
    """The reason why a target cannot be loaded is given on request."""
    installed("toy", GOOD)
    installed("broken", "raise RuntimeError('no')")
    rows = list_targets()
    assert [(row.name, row.package, row.problem) for row in rows] == [
        ("broken", "nibblefit-broken", ""), ("toy", "nibblefit-toy", "")]  # fmt: skip
    assert not {"toy_0", "toy_1"} & set(sys.modules)
    broken, toy = list_targets(check=True)
    assert "RuntimeError: no" in broken.problem
    assert toy.info is not None
    assert not toy.problem


def test_two_packages_with_one_name_are_refused(installed: Any) -> None:
    """Neither is picked; both are named."""
    installed("toy", GOOD, "nibblefit-toy")
    installed("toy", GOOD, "toy-tools")
    with pytest.raises(PluginError, match=r"2 packages: nibblefit-toy 1.2, toy-tools 1.2"):
        load_target("toy")


def test_an_unknown_target_lists_installed_ones_and_the_closest(installed: Any) -> None:
    """First-party targets come with their pip line."""
    installed("toychip", GOOD)
    with pytest.raises(PluginError, match=r"installed: toychip\n.*did you mean 'toychip'"):
        load_target("toychp")
    with pytest.raises(PluginError, match="pip install nibblefit-maxim"):
        load_target("maxim")


BAD_TARGETS = {
    "import": ("import nowhere_at_all", "cannot be imported.*ModuleNotFoundError"),
    "attribute": ("x = 1", "cannot be imported.*AttributeError"),
    "class": ("class TARGET: ...", "names the class TARGET"),
    "no info": ("TARGET = 3", "has no attribute 'info'"),
    "wrong info": ("class T:\n  info = 3\nTARGET = T()", "info of type int"),
    "name": (GOOD + "from dataclasses import replace\nTARGET.info = replace(TARGET.info, name='z')",
             "calls itself 'z'"),
    "fields": (GOOD + "from dataclasses import replace\nTARGET.info = replace(TARGET.info, "
               "summary='', numerics=3, options=int, parts=['a'], manual=None, input_range=(1, 0),"
               "api=1, name='Bad Name')",
               "name is 'Bad Name'.*summary.*api is 1.*numerics.*options.*parts.*manual.*input"),
    "explained": ("from nibblefit.errors import LimitError\nraise LimitError('my own words')",
                  "my own words"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD_TARGETS)
def test_a_target_that_cannot_be_used_is_explained(fault: str, installed: Any) -> None:
    """Each fault of a package gives one clear line."""
    code, message = BAD_TARGETS[fault]
    installed("toy", code)
    with pytest.raises((PluginError, LimitError), match=message):
        load_target("toy")


@pytest.mark.parametrize(
    ("api", "advice"),
    [(ApiVersion(API.major + 1, 0), "upgrade nibblefit"),
     (ApiVersion(API.major, API.minor + 1), "upgrade nibblefit"),
     (ApiVersion(API.major - 1, 0), "upgrade the plugin")],
)  # fmt: skip
def test_another_api_is_refused(api: ApiVersion, advice: str) -> None:
    """Other major or newer minor: one of the two must be upgraded."""
    toy = Toy()
    toy.info = toy_info(api=api)
    with pytest.raises(PluginError, match=advice):
        plugin_of(toy)


def test_hooks_are_checked_by_name() -> None:
    """Misspelt, unmarked and misplaced hooks are errors, never silence."""

    class Misspelt(Toy):
        """Has a hook nobody calls."""

        @hookimpl
        def quantise(self, run: Any, model: Any) -> Any: ...

    class Unmarked(Toy):
        """Forgot the decorator."""

        def simulate(self, run: Any, model: Any, graph: Any) -> Any: ...

    class Property(Toy):
        """A property is no hook and is not run to find out."""

        @property
        def inspect(self) -> Any:
            raise AssertionError

    class Arguments(Toy):
        """Wants an argument no hook has."""

        @hookimpl
        def simulate(self, run: Any, modell: Any) -> Any: ...

    with pytest.raises(PluginError, match=r"'quantise' is no hook.*did you mean 'quantize'"):
        plugin_of(Misspelt())
    with pytest.raises(PluginError, match="'simulate' is named like a hook"):
        plugin_of(Unmarked())
    plugin_of(Property())
    with pytest.raises(PluginError, match="modell"):
        Manager(plugin_of(Arguments()))


def test_an_extension_may_not_implement_a_stage(installed: Any) -> None:
    """It may only wrap; loading by entry point checks the same."""
    code = """
from nibblefit.hooks import hookimpl
class E:
    @hookimpl
    def quantize(self, run, model): ...
TARGET = E()
"""
    installed("greedy", code, group=plugins.EXTENSIONS)
    installed("old", "class E:\n  from nibblefit.hooks import ApiVersion\n  api = ApiVersion(0, 9)"
              "\nTARGET = E()", group=plugins.EXTENSIONS)  # fmt: skip
    installed("good", "from tests.core.pipeline.toys import Watcher\nTARGET = Watcher()",
              group=plugins.EXTENSIONS)  # fmt: skip
    with pytest.raises(
        PluginError, match=r"'greedy'.*implements 'quantize'; an extension may only"
    ):
        load_extension("greedy")
    with pytest.raises(PluginError, match="upgrade the plugin"):
        load_extension("old")
    with pytest.raises(PluginError, match="no extension 'gut'"):
        load_extension("gut")
    assert not load_extension("good").is_target


class Forgetful(Toy):
    """Ends quantize without a return statement."""

    @hookimpl
    def quantize(self, run: Any, model: Any) -> Any:
        quantized(model.graph.constants["w"])


class WrongType(Toy):
    """Returns the float model where an integer graph is due."""

    @hookimpl
    def quantize(self, run: Any, model: Any) -> Any:
        return model


class Illegal(Toy):
    """Returns a graph whose weights do not fit their format."""

    @hookimpl
    def quantize(self, run: Any, model: Any) -> Any:
        from dataclasses import replace

        graph = quantized(model.graph.constants["w"])
        codes = graph.constants["w"] + 1000
        codes.flags.writeable = False
        return replace(graph, constants=frozen_mapping({"w": codes}))


@pytest.mark.parametrize(
    ("toy", "error", "message"),
    [
        (Forgetful(), PluginError, r"quantize returned nothing(.|\n)*end .*test_plugins.py:\d+"),
        (WrongType(), PluginError, "returned a Model, expected a QuantizedGraph"),
        (Illegal(), GraphError, "quantize of target 'toy'"),
    ],
)
def test_a_stage_that_breaks_its_contract_is_named(
    toy: Toy, error: type[Exception], message: str, tmp_path: Path
) -> None:
    """Core never steps in silently for a target that owns the stage."""
    with pytest.raises(error, match=message):
        go(tmp_path, toy)


def test_a_wrapper_that_spoils_a_result_is_named(tmp_path: Path) -> None:
    """The innermost check clears the target; the outer one points at the extension."""

    class Eater:
        """Swallows the report."""

        @hookimpl(wrapper=True)
        def evaluate(self) -> Any:
            yield

    with pytest.raises(PluginError, match="an extension around target 'toy'"):
        go(tmp_path, extensions=[plugin_of(Eater(), name="eater")])


def test_an_error_inside_an_extension_names_the_extension(tmp_path: Path) -> None:
    """Before and after the wrapped stage."""

    class Stumbler:
        """Fails after the stage."""

        @hookimpl(wrapper=True)
        def quantize(self) -> Any:
            yield
            raise KeyError("lost")

    class Observer:
        """Fails while it watches."""

        @hookimpl
        def stage_finished(self, run: Any, report: Any) -> None:
            raise ValueError("cannot watch")

    with pytest.raises(StageError, match="quantize failed in extension 'stumbler'"):
        go(tmp_path / "a", extensions=[plugin_of(Stumbler(), name="stumbler")])
    with pytest.raises(StageError, match="stage_finished failed in extension 'observer'"):
        go(tmp_path / "b", extensions=[plugin_of(Observer(), name="observer")])
    assert (tmp_path / "b" / "stages" / "01-prepare" / "manifest.json").is_file()


class Core:
    """Core defaults whose answers are told apart from the toy's."""

    @hookimpl
    def prepare(self, run: Any, graph: Any) -> Any:
        raise AssertionError("core must stand aside")

    @hookimpl
    def simulate(self, run: Any, model: Any, graph: Any) -> Any:
        return "core"

    @hookimpl
    def network(self, run: Any, model: Any) -> Any:
        return model

    @hookimpl
    def inspect(self, graph: Any, part: Any, recipe: Any) -> Any:
        raise RuntimeError("a defect of core")


class _Run:
    step = "s"


RUN: Any = _Run()


def test_the_target_owns_what_it_implements_and_core_does_the_rest() -> None:
    """A stage of the target never reaches core; a defect of core keeps its own error."""
    manager = Manager(plugin_of(Toy()), core=Core())
    model = Model(toy_graph())
    assert manager.owner("prepare").name == "toy"
    assert manager.owner("network").name == "core"
    assert manager.simulate(RUN, model, quantized([[0.0] * 4] * 3)) == "core"
    with pytest.raises(RuntimeError, match="a defect of core"):
        manager.inspect(toy_graph(), "", None)
    with pytest.raises(PluginError, match="without to_graph"):
        manager.network(RUN, model)


def test_a_target_may_have_no_simulation() -> None:
    """None from an owned simulate is an answer, and core does not step in."""

    class NoSimulation(Toy):
        """Says so."""

        @hookimpl
        def simulate(self, run: Any, model: Any, graph: Any) -> Any:
            return None

    manager = Manager(plugin_of(NoSimulation()), core=Core())
    assert manager.simulate(RUN, Model(toy_graph()), quantized([[0.0] * 4] * 3)) is None


class Contributor:
    """An extension that contributes whatever it is given."""

    def __init__(self, *parts: Any, problems: tuple[Any, ...] = ()) -> None:
        self._parts, self._problems = parts, problems

    @hookimpl
    def regularize(self, run: Any, model: Any) -> Any:
        return self._parts if len(self._parts) != 1 else self._parts[0]

    @hookimpl
    def recipe_problems(self, recipe: Any) -> Any:
        return self._problems


def test_training_parts_come_in_registration_order() -> None:
    """One, several or none per plugin; anything else is refused."""
    a, b, c = TrainingPart(), TrainingPart(), TrainingPart()
    first = plugin_of(Contributor(a, b), name="first")
    second = plugin_of(Contributor(c), name="second")
    none = plugin_of(Contributor(), name="none")
    manager = Manager(plugin_of(Toy()), [first, none, second])
    assert manager.regularize(RUN, Model(toy_graph())) == (a, b, c)
    wrong = Manager(plugin_of(Toy()), [plugin_of(Contributor(3), name="w")])
    with pytest.raises(PluginError, match="returned a int, expected a TrainingPart"):
        wrong.regularize(RUN, Model(toy_graph()))


def test_problems_plugins_see_in_a_recipe_are_reported_together(tmp_path: Path) -> None:
    """Failed findings stop before anything runs; warnings are shown."""
    problems = (
        Finding("toy.a", Status.FAILED, "too wide", "model", "make it narrow"),
        Finding("toy.b", Status.FAILED, "too deep"),
        Finding("toy.c", Status.WARNING, "odd"),
        Finding("toy.d", Status.PASSED, "fine"),
    )
    recorder = Recorder()
    extension = plugin_of(Contributor(problems=problems), name="critic")
    with pytest.raises(RecipeError, match=r"model: too wide; make it narrow(.|\n)*too deep"):
        go(tmp_path, extensions=[extension], reporter=recorder)
    assert recorder.warned == ["odd"]
    with pytest.raises(PluginError, match="expected Finding"):
        go(tmp_path, extensions=[plugin_of(Contributor(problems=(1,)), name="critic")])


def test_a_plan_of_wrong_items_is_refused(tmp_path: Path) -> None:
    """The plan hook must return plan items."""
    with pytest.raises(PluginError, match=r"plan of target 'toy'.*holds a str"):
        go(tmp_path, Toy(("prepare",)))  # type: ignore[arg-type]


def test_core_answers_every_hook_with_one_answer() -> None:
    """CoreDefaults implements each of them, with the specification's arguments."""
    manager = pluggy.PluginManager("nibblefit")
    from nibblefit.hooks import StageSpecs, TargetSpecs

    manager.add_hookspecs(StageSpecs)
    manager.add_hookspecs(TargetSpecs)
    manager.register(CoreDefaults())
    manager.check_pending()
    for hook in plugins.checking.OWNED:
        (implementation,) = getattr(manager.hook, hook).get_hookimpls()
        assert implementation.argnames == tuple(getattr(manager.hook, hook).spec.argnames)


def test_namesakes_of_both_kinds_live_together(tmp_path: Path) -> None:
    """A target and an extension may share a name; two equal extensions may not."""
    twin = Plugin("toy", Watcher(), "other", "1", is_target=False)
    assert go(tmp_path, extensions=[twin]).complete
    with pytest.raises(PluginError, match="cannot be registered"):
        go(tmp_path, extensions=[twin, twin])


def test_the_report_of_a_stage_reaches_the_target_as_well(tmp_path: Path) -> None:
    """A target may observe, too."""
    seen: list[str] = []

    class Observer(Toy):
        """Watches its own stages."""

        @hookimpl
        def stage_finished(self, run: Any, report: Report) -> None:
            assert (run.folder / "manifest.json").is_file()
            seen.append(run.step)

    go(tmp_path, Observer(), until="float")
    assert seen == ["prepare", "float"]

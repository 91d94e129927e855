"""Hooks through the manager: who answers, what is collected, whose fault an error is."""

from __future__ import annotations

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
)

from nibblefit import plugins
from nibblefit.defaults import CoreDefaults
from nibblefit.errors import GraphError, PluginError, RecipeError, StageError
from nibblefit.hooks import hookimpl
from nibblefit.ir.graph import frozen_mapping
from nibblefit.models import Model
from nibblefit.plugins import (
    Manager,
    Plugin,
    plugin_of,
)
from nibblefit.results import Finding, Report, Status
from nibblefit.training.parts import TrainingPart


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
        (Forgetful(), PluginError, r"quantize returned nothing(.|\n)*end .*test_manager.py:\d+"),
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
    harmless = plugin_of(Contributor(problems=problems[2:]), name="critic")
    go(tmp_path, extensions=[harmless], reporter=recorder)
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

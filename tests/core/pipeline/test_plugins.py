"""Discovery, loading and calling of plugins; every breach of the contract is named."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from tests.core.pipeline.toys import (
    Toy,
    toy_info,
)

from nibblefit import plugins
from nibblefit.errors import LimitError, PluginError
from nibblefit.hooks import API, ApiVersion, hookimpl
from nibblefit.plugins import (
    Manager,
    discovery,
    list_targets,
    load_extension,
    load_target,
    plugin_of,
)


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

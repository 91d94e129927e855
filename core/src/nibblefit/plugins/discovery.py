"""Which plugins are installed, and loading exactly the one that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import Any

from nibblefit.errors import NibblefitError, PluginError, UnknownPluginError, did_you_mean
from nibblefit.hooks import TargetInfo
from nibblefit.plugins.checking import check_api, check_hooks, check_info
from nibblefit.recipe_file.explain import shortened

TARGETS = "nibblefit.targets"
EXTENSIONS = "nibblefit.extensions"
#: Targets of this project that live in distributions of their own.
_FIRST_PARTY = {name: f"nibblefit-{name}" for name in ("maxim", "tidl", "vitis", "tao")}


@dataclass(frozen=True, slots=True)
class Plugin:
    """A loaded plugin and where it comes from.

    Attributes:
        name: Entry-point name.
        value: The object that carries the hooks.
        package: Distribution.
        version: Its version, empty if it was not loaded from a distribution.
        is_target: Whether it is a target; else an extension.
    """

    name: str
    value: Any
    package: str
    version: str
    is_target: bool = True

    @property
    def info(self) -> TargetInfo:
        """Static facts of a target."""
        info: TargetInfo = self.value.info
        return info

    @property
    def origin(self) -> str:
        """Package and version, such as ``nibblefit-maxim 0.1.0``."""
        return f"{self.package} {self.version}".strip()

    def __str__(self) -> str:
        return f"{'target' if self.is_target else 'extension'} '{self.name}' ({self.origin})"


@dataclass(frozen=True, slots=True)
class PluginRow:
    """One installed plugin.

    Attributes:
        problem: Why it cannot be loaded; empty if it can, or if that was not tried.
        info: Static facts, once it was loaded.
    """

    name: str
    package: str
    version: str
    problem: str = ""
    info: TargetInfo | None = None


def list_targets(*, check: bool = False) -> tuple[PluginRow, ...]:
    """Return every installed target, by name.

    Args:
        check: Also load each one and say what is wrong with it; without it nothing is imported.
    """
    rows = []
    for entry in sorted(_entries(TARGETS), key=lambda e: (e.name, _package(e))):
        row = PluginRow(entry.name, _package(entry), _version(entry))
        rows.append(_loaded_row(row) if check else row)
    return tuple(rows)


def _loaded_row(row: PluginRow) -> PluginRow:
    try:
        info = load_target(row.name).info
    except NibblefitError as error:
        return PluginRow(row.name, row.package, row.version, error.what)
    return PluginRow(row.name, row.package, row.version, info=info)


def load_target(name: str) -> Plugin:
    """Import the target called `name`, and no other, and check it.

    Raises:
        PluginError: Not installed, offered twice, not importable or not a target.
    """
    entry = _find(TARGETS, name, "target")
    plugin = Plugin(name, _import(entry, "target"), _package(entry), _version(entry))
    check_info(plugin.value, name, plugin.origin)
    check_hooks(plugin.value, str(plugin), may_own=True)
    return plugin


def load_extension(name: str) -> Plugin:
    """Import the extension called `name` and check it.

    Raises:
        PluginError: See `load_target`.
    """
    entry = _find(EXTENSIONS, name, "extension")
    value = _import(entry, "extension")
    plugin = Plugin(name, value, _package(entry), _version(entry), is_target=False)
    api = getattr(value, "api", None)
    if api is not None:
        check_api(api, str(plugin))
    check_hooks(value, str(plugin), may_own=False)
    return plugin


def plugin_of(value: Any, *, name: str = "") -> Plugin:
    """Return a plugin around an object that was made in Python rather than installed.

    With an `info` it is a target, without one an extension called `name`.
    """
    is_target = hasattr(value, "info")
    package = type(value).__module__.partition(".")[0]
    if is_target:
        label = str(getattr(value.info, "name", name))
        check_info(value, label, package)
        plugin = Plugin(label, value, package, "")
    else:
        plugin = Plugin(name or type(value).__name__, value, package, "", is_target=False)
    check_hooks(value, str(plugin), may_own=is_target)
    return plugin


def _entries(group: str) -> tuple[metadata.EntryPoint, ...]:
    """Return the entry points of a group; one found twice on the path counts once."""
    found = {(e.name, e.value, _package(e)): e for e in metadata.entry_points(group=group)}
    return tuple(found.values())


def _package(entry: metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value.partition(".")[0]


def _version(entry: metadata.EntryPoint) -> str:
    return entry.dist.version if entry.dist else ""


def _find(group: str, name: str, kind: str) -> metadata.EntryPoint:
    entries = _entries(group)
    found = [entry for entry in entries if entry.name == name]
    if len(found) > 1:
        packages = ", ".join(sorted(f"{_package(e)} {_version(e)}".strip() for e in found))
        raise PluginError(
            f"{kind} '{name}' is offered by {len(found)} packages: {packages}",
            hint="uninstall all but one of them",
        )
    if found:
        return found[0]
    if kind == "target" and name in _FIRST_PARTY:
        raise UnknownPluginError(
            f"target '{name}' is not installed", hint=f"pip install {_FIRST_PARTY[name]}"
        )
    names = sorted({entry.name for entry in entries})
    installed = f"installed: {', '.join(names) or 'none'}"
    close = did_you_mean(name, names)
    raise UnknownPluginError(
        f"there is no {kind} '{shortened(name)}'; {installed}",
        hint=close if close.startswith("did") else "check the spelling, or install its package",
    )


def _import(entry: metadata.EntryPoint, kind: str) -> object:
    where = f"{kind} '{entry.name}' ({_package(entry)} {_version(entry)})"
    try:
        value: object = entry.load()
    except NibblefitError:
        raise
    except Exception as error:
        # Anything can go wrong while a stranger's module is imported.
        raise PluginError(
            f"{where} cannot be imported from {entry.value}: {type(error).__name__}: {error}",
            hint="reinstall the package, or report this to its authors",
        ) from error
    if isinstance(value, type):
        raise PluginError(
            f"{where}: the entry point names the class {value.__name__}, not an instance",
            hint=f"point it at an instance, such as TARGET = {value.__name__}()",
        )
    return value

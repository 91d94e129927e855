"""Checks of a loaded plugin, before any of its code runs in a stage."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from nibblefit.errors import PluginError, did_you_mean
from nibblefit.hooks import (
    API,
    ApiVersion,
    CommandSpecs,
    ContributionSpecs,
    StageSpecs,
    TargetInfo,
    TargetSpecs,
)
from nibblefit.ir.numerics import Numerics
from nibblefit.recipe_file.idle import is_key

#: Attribute that `hookimpl` leaves on a method.
_MARK = "nibblefit_impl"
#: Attribute that `hookspec` leaves on a specification.
_SPEC_MARK = "nibblefit_spec"
_NAME = re.compile(r"[a-z][a-z0-9_-]*")


def spec_names(*specs: type) -> tuple[str, ...]:
    """Return the hook names of specification classes, in their order."""
    return tuple(
        name for spec in specs for name, item in vars(spec).items() if hasattr(item, _SPEC_MARK)
    )


#: Hooks that exactly one plugin answers.
OWNED = spec_names(StageSpecs, TargetSpecs)
#: Hooks that only a target can have and that no run asks.
COMMANDS = spec_names(CommandSpecs)
ALL_HOOKS = (*OWNED, *spec_names(ContributionSpecs), *COMMANDS)


def check_info(plugin: object, entry_name: str, package: str) -> TargetInfo:
    """Return the `info` of a target after checking every field.

    Raises:
        PluginError: A field is missing or has the wrong type, the name differs from the
            entry point's, or the target wants another API.
    """
    info = getattr(plugin, "info", None)
    where = f"target '{entry_name}' ({package})"
    if not isinstance(info, TargetInfo):
        kind = "has no attribute 'info'" if info is None else f"has an info of type {_type(info)}"
        raise PluginError(
            f"{where} {kind}; expected a nibblefit.hooks.TargetInfo",
            hint="point the entry point at an instance with `info = TargetInfo(…)`",
        )
    faults = list(_faults(info))
    if faults:
        raise PluginError(f"the info of {where} is wrong: {'; '.join(faults)}")
    if info.name != entry_name:
        raise PluginError(
            f"{where} calls itself '{info.name}' in its info",
            hint="make the entry-point name and info.name equal",
        )
    check_api(info.api, where)
    return info


def check_api(wanted: ApiVersion, where: str) -> None:
    """Refuse a plugin written for another contract: other major, or newer minor."""
    if wanted.major != API.major or wanted.minor > API.minor:
        newer = wanted > API
        raise PluginError(
            f"{where} needs API {wanted}, this nibblefit offers {API}",
            hint="upgrade nibblefit" if newer else "upgrade the plugin",
        )


def _faults(info: Any) -> Iterator[str]:
    if not (isinstance(info.name, str) and _NAME.fullmatch(info.name)):
        yield f"name is {info.name!r}, expected a lower-case word"
    if not (isinstance(info.summary, str) and info.summary and "\n" not in info.summary):
        yield f"summary is {info.summary!r}, expected one line of text"
    if not isinstance(info.api, ApiVersion):
        yield f"api is {info.api!r}, expected an ApiVersion"
    if not isinstance(info.numerics, Numerics):
        yield f"numerics is of type {_type(info.numerics)}, expected nibblefit.ir.Numerics"
    if not (isinstance(info.options, type) and issubclass(info.options, BaseModel)):
        yield f"options is {info.options!r}, expected a pydantic model class"
    if not (isinstance(info.parts, tuple) and all(isinstance(p, str) and p for p in info.parts)):
        yield f"parts is {info.parts!r}, expected a tuple of names"
    if not isinstance(info.manual, str):
        yield f"manual is {info.manual!r}, expected an address"
    if info.input_range is not None and not _is_range(info.input_range):
        yield f"input_range is {info.input_range!r}, expected (lower, upper) or None"
    for key, instead in info.unread.items():
        if not is_key(key):
            yield f"unread names {key!r}, which is no key of core's recipe"
        if not (isinstance(instead, str) and instead):
            yield f"unread says {instead!r} about {key!r}, expected what to use instead"


def _is_range(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(v, int | float) for v in value)
        and value[0] < value[1]
    )


def _type(value: object) -> str:
    return type(value).__name__


def check_hooks(plugin: object, where: str, *, may_own: bool) -> None:
    """Check the hook methods of a plugin by name.

    Args:
        plugin: The target or extension object.
        where: How to call it in messages.
        may_own: Whether it may implement the hooks that one plugin answers (targets may).

    Raises:
        PluginError: A marked method is no hook, a method is named like a hook but not marked, or
            an extension implements what it may only wrap.
    """
    for name in dir(plugin):
        if isinstance(inspect.getattr_static(plugin, name, None), property):
            continue  # hooks are methods; a property's code is not run just to look at it
        method = getattr(plugin, name, None)
        mark = getattr(method, _MARK, None) if callable(method) else None
        if mark is None:
            if name in ALL_HOOKS and callable(method):
                raise PluginError(
                    f"{where}: method '{name}' is named like a hook but not marked as one",
                    hint="put @hookimpl above it, or rename it",
                )
            continue
        hook = mark.get("specname") or name
        if hook not in ALL_HOOKS:
            raise PluginError(
                f"{where}: '{hook}' is no hook of nibblefit {API}; {did_you_mean(hook, ALL_HOOKS)}"
            )
        wraps = mark.get("wrapper") or mark.get("hookwrapper")
        if hook in COMMANDS:
            if not may_own:
                raise PluginError(
                    f"{where} implements '{hook}'; commands belong to a target",
                    hint="make the package a target, or ship a program of its own",
                )
            if wraps:
                raise PluginError(f"{where}: '{hook}' cannot wrap; use @hookimpl alone")
        if not may_own and hook in OWNED and not wraps:
            raise PluginError(
                f"{where} implements '{hook}'; an extension may only wrap it",
                hint="use @hookimpl(wrapper=True), or make the package a target",
            )

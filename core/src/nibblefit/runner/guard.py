"""The recipe as one step may see it: sections it does not declare are out of reach.

A result is reused when the sections its step reads are unchanged. This guard makes the
declaration true: a stage that reads more fails at once instead of being reused wrongly later.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from pydantic import BaseModel, PrivateAttr

from nibblefit.errors import PluginError
from nibblefit.recipe import Recipe

#: Sections that are part of every key, or that cannot change a result.
_ALWAYS = frozenset({"target", "run", "folder", "file"})
_GUARDED = frozenset(Recipe.model_fields) - _ALWAYS


class OpenKeys:
    """A section of which only some keys can be read."""

    def __init__(self, name: str, values: dict[str, Any], step: str) -> None:
        self._name, self._values, self._step = name, values, step

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_"):  # asked for by copying and pickling
            raise AttributeError(key)
        if key not in self._values:
            raise _closed(self._step, f"{self._name}.{key}")
        return self._values[key]


class GuardedRecipe(Recipe):
    """A recipe that hands out only some of its sections."""

    _step: str = PrivateAttr(default="")
    _open: frozenset[str] = PrivateAttr(default=frozenset())

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name not in _GUARDED:
            return value
        private = super().__getattribute__("__pydantic_private__")
        if not private or name in private["_open"]:
            return value
        keys = {r.partition(".")[2] for r in private["_open"] if r.startswith(f"{name}.")}
        if not keys:
            raise _closed(private["_step"], name)
        return OpenKeys(name, {key: getattr(value, key) for key in keys}, private["_step"])

    def limited(self, step: str, sections: frozenset[str]) -> GuardedRecipe:
        """Close everything but the given sections and keys; returns the recipe itself."""
        self._step, self._open = step, sections
        return self


def _closed(step: str, what: str) -> PluginError:
    return PluginError(
        f"step '{step}' reads the recipe's [{what}], which it does not declare",
        hint=f"add reads=('{what}',) to the Step in the target's plan, so that a change there "
        "runs the step again",
    )


def guarded(recipe: Recipe, step: str, sections: tuple[str, ...]) -> Recipe:
    """Return the recipe with only the given sections and single keys readable."""
    found = GuardedRecipe.model_construct(**{n: getattr(recipe, n) for n in Recipe.model_fields})
    opened = set(sections)
    if "train" in opened:
        opened.add("train_steps")
    return found.limited(step, frozenset(opened))


def guarded_options(options: BaseModel, step: str, closed: Iterable[str]) -> BaseModel:
    """Return the target's options with some of them out of reach of this step."""
    names = frozenset(closed)
    if not names:
        return options
    values = {name: getattr(options, name) for name in type(options).model_fields}
    return _rebuilt(type(options), step, names, values)


def _rebuilt(
    kind: type[BaseModel], step: str, closed: frozenset[str], values: dict[str, Any]
) -> BaseModel:
    return _closing(kind, step, closed).model_construct(**values)


@cache
def _closing(kind: type[BaseModel], step: str, closed: frozenset[str]) -> type[BaseModel]:
    """Return a subclass of an options model that refuses to hand out the closed options.

    It is a subclass, so that properties of the model which read a closed option are refused too.
    """

    def look_up(self: BaseModel, name: str) -> Any:
        if name in closed:
            raise PluginError(
                f"step '{step}' reads the option target.{name}, which does not count for it",
                hint=f"add the stage, the phase or the step to read_by of {kind.__name__}.{name}",
            )
        return super(made, self).__getattribute__(name)  # type: ignore[arg-type]

    def travel(self: BaseModel) -> tuple[Any, ...]:
        # The class is made here and cannot be found by name in another process.
        return _rebuilt, (kind, step, closed, dict(self.__dict__))

    made = type(kind.__name__, (kind,), {"__getattribute__": look_up, "__reduce__": travel})
    return made

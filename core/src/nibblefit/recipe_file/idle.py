"""Keys of a recipe that nobody reads: each is named, so that no setting is silently ignored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from nibblefit.recipe import Recipe
from nibblefit.results import Finding, Status

if TYPE_CHECKING:
    from nibblefit.hooks import TargetInfo

UNREAD, IDLE = "recipe.unread", "recipe.no_effect"
_TARGET, _TRAIN = "target", "train"
#: Stands for a value that is not there; equal to itself alone.
_MISSING = object()


def unread_findings(recipe: Recipe, info: TargetInfo) -> list[Finding]:
    """Return a problem for every key the recipe sets and the target never reads."""
    return [
        Finding(UNREAD, Status.FAILED, f"no effect with target '{info.name}'", place, instead)
        for key, instead in info.unread.items()
        for place in changed_keys(recipe, key)
    ]


def idle_findings(
    recipe: Recipe, reasons: Mapping[str, str], options: BaseModel | None = None
) -> list[Finding]:
    """Return a warning for every key the recipe sets and, as the rest of it is, nothing reads.

    Args:
        recipe: The recipe.
        reasons: Key or section → why, as it goes on after "no effect": ``with target.qat = true``.
            The first reason for a key is told.
        options: The target's options; without them keys of ``[target]`` are not looked at.
    """
    found: dict[str, str] = {}
    for key, reason in reasons.items():
        for place in changed_keys(recipe, key, options):
            found.setdefault(place, reason)
    return [
        Finding(IDLE, Status.WARNING, f"no effect {reason}", place, "change that, or leave it out")
        for place, reason in found.items()
    ]


def changed_keys(recipe: Recipe, key: str, options: BaseModel | None = None) -> Iterator[str]:
    """Yield the keys at or below a key or section that have another value than the default.

    Keys of ``[train.NAME]`` count where ``train`` or one of its keys is asked for.

    Args:
        recipe: The recipe.
        key: Such as ``prune``, ``quantize.method`` or ``target.qat``.
        options: The target's options, for keys of ``[target]``.
    """
    section, *names = key.split(".")
    value: Any = options if section == _TARGET else getattr(recipe, section)
    if value is None:
        return
    # Its required keys stay out: they are always set.
    default: Any = type(value).model_construct()
    for name in names:
        value, default = getattr(value, name, _MISSING), getattr(default, name, _MISSING)
    yield from _differing(value, default, key)
    if section == _TRAIN:
        usual = type(recipe.train).model_construct()
        for step, table in recipe.train_steps.items():
            for name, own in table.items():
                if names in ([], [name]) and own != getattr(usual, name, _MISSING):
                    yield f"{_TRAIN}.{step}.{name}"


def is_key(key: str) -> bool:
    """Return whether core's recipe has such a section, or such a key of one."""
    section, _, name = key.partition(".")
    field = Recipe.model_fields.get(section)
    model = field.annotation if field is not None else None
    if not (isinstance(model, type) and issubclass(model, BaseModel)) or section == _TARGET:
        return False
    return not name or name in model.model_fields


def _differing(value: Any, default: Any, key: str) -> Iterator[str]:
    if isinstance(value, BaseModel) and type(value) is type(default):
        for name in type(value).model_fields:
            inner = getattr(default, name, _MISSING)
            yield from _differing(getattr(value, name), inner, f"{key}.{name}")
    elif value != default:
        yield key

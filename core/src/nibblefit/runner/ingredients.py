"""What the result of a step depends on: the ingredients of its content key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

import nibblefit
from nibblefit.hooks import API
from nibblefit.plan import Stage, Step
from nibblefit.plugins import Manager
from nibblefit.recipe import Recipe
from nibblefit.recipe_file import plain
from nibblefit.workspace import (
    Kind,
    Manifest,
    calibration_files,
    data_files,
    named_files,
    network_files,
    teacher_files,
)

#: Recipe sections, or single keys of one, that a stage reads. Seed and target always count.
_READS: dict[Stage, tuple[str, ...]] = {
    Stage.PREPARE: ("model", "task", "data", "quantize", "prune.layers"),
    Stage.TRAIN: ("task", "data", "train", "distill", "evaluate.batch_size"),
    Stage.PRUNE: ("task", "data", "prune"),
    Stage.QUANTIZE: ("task", "data", "quantize"),
    Stage.COMPILE: ("task", "data", "quantize"),
    Stage.EVALUATE: ("task", "data", "evaluate"),
}
#: Keys that cannot change a result, whoever reads their section.
_NO_EFFECT = frozenset({"data.workers", "evaluate.floor", "evaluate.max_drop"})
#: Section that every reader of the quantization settings reads as well.
CALIBRATION = "calibration"
_QUANTIZE = "quantize"
#: Training phase of a step that names none.
_FLOAT = "float"
#: Training phases that quantization settings cannot touch, unless they touched what goes in.
_FLOAT_PHASES = frozenset({_FLOAT, "recover"})
#: Stages whose steps follow the quantization settings once something before them did.
_FOLLOWING = frozenset({Stage.TRAIN, Stage.PRUNE, Stage.EVALUATE})
#: Keys that only training reads.
_TRAINING_ONLY = frozenset({"data.augment"})


@dataclass(frozen=True, slots=True)
class Setting:
    """A recipe with what follows from it; each candidate of a search has its own.

    Attributes:
        recipe: The validated recipe.
        options: The target's own options.
        part: Device of the target.
    """

    recipe: Recipe
    options: BaseModel
    part: str


def sections_read(step: Step, inputs: Sequence[Manifest]) -> tuple[str, ...]:
    """Return the recipe sections (``data``) and keys (``evaluate.batch_size``) a step reads.

    Whatever comes after float training follows the quantization settings, too.
    """
    reads = list(_READS[step.stage])
    if step.stage in _FOLLOWING and (
        step.options.get("phase", _FLOAT) not in _FLOAT_PHASES or any(map(_is_late, inputs))
    ):
        reads.append(_QUANTIZE)
    reads += step.reads
    if _QUANTIZE in reads:
        reads.append(CALIBRATION)
    return tuple(dict.fromkeys(reads))


def options_closed(step: Step, options: BaseModel) -> frozenset[str]:
    """Return the target's options that do not count for a step, by their ``read_by``.

    An option's field may list, in ``json_schema_extra["read_by"]``, the stages, phases or step
    names that read it; without a list every step does. What an option does not touch is not run
    again when it changes.
    """
    names = {step.stage.value, step.name, str(step.options.get("phase", ""))}
    closed = set()
    for name, field in type(options).model_fields.items():
        extra = field.json_schema_extra
        read_by = extra.get("read_by") if isinstance(extra, Mapping) else None
        if isinstance(read_by, list | tuple) and not names & set(map(str, read_by)):
            closed.add(name)
    return frozenset(closed)


def _file_options(options: BaseModel) -> Iterator[str]:
    """Yield the options that name files of the user's: ``json_schema_extra["file"]`` is true."""
    for name, field in type(options).model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, Mapping) and extra.get("file"):
            yield name


def _is_late(result: Manifest) -> bool:
    """Return whether a result is past float training: integers, or made with quantization."""
    phase = result.ingredients.get("plan.phase", _FLOAT)
    if result.kind != Kind.MODEL or phase not in _FLOAT_PHASES:
        return True
    followed = any(name.startswith("quantize.") for name in result.ingredients)
    return followed and result.stage != Stage.PREPARE


def ingredients_of(  # noqa: PLR0917 - the nouns that a result is made of
    step: Step, setting: Setting, manager: Manager, inputs: Sequence[Manifest],
                   files: Mapping[str, str], reference: Manifest | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return everything the step's result depends on, as flat dotted names.

    `files` are the digests of the user's files that the step reads, see `FileDigests`;
    `reference` is the float model that an evaluation compares its subject with. Left out on
    purpose: the torch device, thread and worker counts, and limits that gates check.
    """
    recipe = setting.recipe
    found: dict[str, Any] = {
        "step": step.name,
        "stage": step.stage.value,
        "api": str(API),
        "nibblefit": nibblefit.__version__,
        f"target {manager.target.name}": manager.target.origin,
        "target.part": setting.part,
        "run.seed": recipe.run.seed,
    }
    for extension in manager.extensions:
        found[f"extension {extension.name}"] = extension.origin
    _flatten(found, "plan", step.options)
    closed = options_closed(step, setting.options)
    for name in type(setting.options).model_fields:
        if name not in closed:
            _flatten(found, f"target.{name}", getattr(setting.options, name))
    found |= _recipe_entries(step, recipe, sections_read(step, inputs))
    found.update(files)
    for manifest in inputs:
        found[f"result of {manifest.step.partition('@')[0]}"] = manifest.digest
    if reference is not None:
        found[f"compared with {reference.step.partition('@')[0]}"] = reference.digest
    return found


def _recipe_entries(step: Step, recipe: Recipe, reads: Sequence[str]) -> dict[str, Any]:
    """Return what the step reads of the recipe and what can change its result."""
    found: dict[str, Any] = {}
    for read in reads:
        section, _, key = read.partition(".")
        if section == "train":
            _flatten(found, "train", recipe.train_for(step.name))
        elif section not in ("target", "run"):
            value = getattr(recipe, section)
            _flatten(found, read, getattr(value, key) if key else value)
    for name in _NO_EFFECT:
        found.pop(name, None)
    if step.stage is not Stage.TRAIN:
        for name in list(found):
            if any(name == key or name.startswith(f"{key}.") for key in _TRAINING_ONLY):
                del found[name]
    return found


class FileDigests:
    """Digests of the user's files; each set of files is read once per run."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], dict[str, str]] = {}

    def read_by(self, step: Step, recipe: Recipe, options: BaseModel,
                reads: Sequence[str] = ()) -> dict[str, str]:  # fmt: skip
        """Return the digests of the files the step reads.

        These are data, for prepare the network, for trainings a teacher, for readers of the
        quantization settings calibration data, and files that the target's options name.

        Args:
            step: The plan's step.
            recipe: The recipe in force.
            options: The target's own options.
            reads: What `sections_read` says.
        """
        found = self._once(("data", recipe.folder, recipe.data.path), data_files, recipe)
        if CALIBRATION in reads and recipe.calibration.active:
            place = (CALIBRATION, recipe.folder, recipe.calibration.path)
            found = {**found, **self._once(place, calibration_files, recipe)}
        closed = options_closed(step, options)
        for name in _file_options(options):
            value = str(getattr(options, name) or "")
            if name not in closed and value:
                found = {**found, **named_files(recipe, (value,))}
        if step.stage is Stage.TRAIN and recipe.distill.teacher:
            teacher = ("teacher", recipe.folder, recipe.distill.teacher, recipe.distill.weights)
            found = {**found, **self._once(teacher, teacher_files, recipe)}
        if step.stage is Stage.PREPARE:
            model = recipe.model
            key = ("network", recipe.folder, model.source, model.weights)
            found = {**found, **self._once(key, network_files, recipe)}
        return found

    def _once(self, key: tuple[str, ...], read: Callable[[Recipe], dict[str, str]],
              recipe: Recipe) -> dict[str, str]:  # fmt: skip
        if key not in self._known:
            self._known[key] = read(recipe)
        return self._known[key]


def _flatten(found: dict[str, Any], prefix: str, value: Any) -> None:
    """Add a table's entries under dotted names; lists and empty tables are entries."""
    entries = plain(value)
    if not isinstance(entries, Mapping) or not entries:
        if entries != {}:
            found[prefix] = entries
        return
    for key, entry in entries.items():
        _flatten(found, f"{prefix}.{key}", entry)


def seed_of(recipe: Recipe, step: str) -> int:
    """Return a step's own seed, 0 to 2^31 − 1.

    Rounds and candidates of a step share it, so that only their settings tell them apart.
    """
    name = step.partition("@")[0]
    raw = hashlib.sha256(f"{recipe.run.seed}/{name}".encode()).digest()
    return int.from_bytes(raw[:4], "big") >> 1

"""The same settings in a recipe: ``[target.settings]`` and ``[quantize.layers]``, both ways."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nibblefit.errors import InputError, did_you_mean
from nibblefit.recipe_file import document_toml
from nibblefit.results import Finding, Status
from nibblefit_vitis.configuration.json_text import KeyPath, parse_object, read_text
from nibblefit_vitis.configuration.keys import KINDS, KINDS_KEY, LAYERS, OVERALL, TENSORS
from nibblefit_vitis.configuration.layer_options import TYPE_MARK
from nibblefit_vitis.configuration.presets import PRESETS, REFUSED, preset_document
from nibblefit_vitis.configuration.problems import Problems
from nibblefit_vitis.configuration.read import examine
from nibblefit_vitis.configuration.schema import Configuration

RULE = "vitis.configuration"
#: Whose recipes hold these settings.
TARGET_NAME = "vitis"


@dataclass(frozen=True, slots=True)
class Written:
    """Where a recipe's settings stand, put together as one document.

    Attributes:
        document: Shaped like the JSON file.
        file: What messages call it.
        lines: Lines of the JSON file, if there is one.
        entries: Place in the list of entries → its key in ``[quantize.layers]``.
    """

    document: dict[str, Any]
    file: str
    lines: Mapping[KeyPath, int]
    entries: Mapping[int, str]

    def recipe_path(self, path: KeyPath) -> tuple[str, ...]:
        """Return where in the recipe a path of the document stands."""
        if path[:1] == (LAYERS,) and len(path) > 1 and path[1] in self.entries:
            rest = (part for part in path[2:] if part not in (OVERALL, TENSORS))
            return ("quantize", "layers", self.entries[int(path[1])], *map(str, rest))
        if self.lines:
            return ("target", "configuration")
        return ("target", "settings", *map(str, path))


def written(target: Mapping[str, Any], layers: Mapping[str, Any], folder: Path) -> Written:
    """Return what a recipe says, as one document.

    Args:
        target: Its ``[target]``: ``configuration`` (a JSON file or a preset) or ``settings``.
        layers: Its ``[quantize.layers]``; they come behind the file's entries.
        folder: Where the recipe lies.

    Raises:
        InputError: The file cannot be read, or there is no such preset.
    """
    name = str(target.get("configuration") or "")
    lines: Mapping[KeyPath, int] = {}
    if name in PRESETS or name in REFUSED:
        document, file = preset_document(name), f"preset {name}"
    elif name and not Path(name).suffix and not (folder / name).exists():
        raise InputError(f"configuration '{name}' is neither a preset nor a file in {folder}",
                         hint=did_you_mean(name, PRESETS))  # fmt: skip
    elif name:
        path = folder / name
        document, lines = parse_object(read_text(path), path.name)
        file = path.name
    else:
        document = {"target_device": "DPU", **json.loads(json.dumps(target.get("settings") or {}))}
        file = "[target.settings]"
    before = document.get(LAYERS) or []
    if layers and isinstance(before, list):
        document[LAYERS] = [*before, *(_entry(key, value) for key, value in layers.items())]
    start = len(before) if isinstance(before, list) else 0
    return Written(document, file, lines, {start + i: key for i, key in enumerate(layers)})


def examined(
    target: Mapping[str, Any], layers: Mapping[str, Any], folder: Path
) -> tuple[Configuration | None, Problems, Written]:
    """Return a recipe's configuration, as far as it has its form, all problems, and their places.

    Arguments are those of `written`; ``target.parity`` chooses the mode.

    Raises:
        InputError: The file cannot be read, or there is no such preset.
    """
    found = written(target, layers, folder)
    parity = bool(target.get("parity", False))
    return *examine(found.document, parity=parity, file=found.file, lines=found.lines), found


def configuration_of(
    target: Mapping[str, Any], layers: Mapping[str, Any], folder: Path
) -> Configuration:
    """Return the checked configuration of a recipe; arguments are those of `examined`.

    Raises:
        InputError: It has problems.
    """
    configuration, problems, _ = examined(target, layers, folder)
    problems.raise_if_any(first_only=bool(target.get("parity", False)))
    assert configuration is not None  # none is left out without a problem
    return configuration


def recipe_findings(
    target: Mapping[str, Any], layers: Mapping[str, Any], folder: Path
) -> list[Finding]:
    """Return every problem of a recipe's configuration, with its place; arguments as `examined`."""
    try:
        _, problems, found = examined(target, layers, folder)
    except InputError as error:
        return [Finding(RULE, Status.FAILED, error.what, "target.configuration", error.hint)]
    shown = problems.found[:1] if target.get("parity", False) else problems.found
    return [
        Finding(RULE, Status.FAILED, problems.placed(one) if one.line else one.message,
                ".".join(found.recipe_path(one.path)), one.remedy)
        for one in shown
    ]  # fmt: skip


def read_recipe_configuration(path: Path, *, parity: bool = False) -> tuple[Configuration, bool]:
    """Return the configuration of a recipe file, whatever else is in it, and its mode.

    Args:
        path: The recipe.
        parity: Take the original's mode even if the recipe does not.

    Raises:
        InputError: It is no TOML, or the configuration has problems.
    """
    try:
        document = tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path.name}: not readable as TOML: {error}",
                         hint="correct the TOML there") from error  # fmt: skip
    target = _table(document, "target", path)
    name = target.get("name", TARGET_NAME)
    if "target" not in document or name != TARGET_NAME:
        whose = f"for target '{name}'" if "target" in document else "no recipe, without [target]"
        raise InputError(
            f"{path.name} is {whose}; these settings are those of '{TARGET_NAME}'",
            hint=f'give a recipe with name = "{TARGET_NAME}" below [target]',
        )
    layers = _table(_table(document, "quantize", path), "layers", path)
    mode = parity or bool(target.get("parity", False))
    return configuration_of({**target, "parity": mode}, layers, path.parent), mode


def recipe_tables(configuration: Configuration) -> dict[str, Any]:
    """Return a configuration as the recipe's ``target.settings`` and ``quantize.layers``.

    Of entries for equal types or names the last one is written, as only that one counts.
    """
    settings = configuration.written()
    settings.pop(LAYERS, None)
    if not settings.get(KINDS_KEY, True) or set(settings.get(KINDS_KEY, ())) == {*KINDS}:
        settings.pop(KINDS_KEY, None)
    layers: dict[str, Any] = {}
    keys: dict[tuple[str, str], str] = {}
    for entry in configuration.layer_quantize_config:
        mark = TYPE_MARK if entry.kind_of_name == "layer_type" else ""
        values = entry.written()
        own = {**values.get(OVERALL, {}), **values.get(TENSORS, {})}
        if entry.quantizable_data_type != KINDS:
            own[KINDS_KEY] = values[KINDS_KEY]
        same = entry.kind_of_name, entry.named
        layers.pop(keys.get(same, ""), None)
        keys[same] = f"{mark}{entry.layer_type or entry.layer_name}"
        layers[keys[same]] = own
    found: dict[str, Any] = {"target": {"settings": settings}}
    return {**found, "quantize": {"layers": layers}} if layers else found


def recipe_text(configuration: Configuration, *, parity: bool = False) -> str:
    """Return the tables as TOML, to be put into a recipe for this target."""
    tables = recipe_tables(configuration)
    mode = {"parity": True} if parity else {}
    target = {"name": TARGET_NAME, **mode, **tables["target"]}
    return document_toml({**tables, "target": target})


def json_text(configuration: Configuration) -> str:
    """Return the configuration as the original's file."""
    return json.dumps(configuration.written(), indent=2) + "\n"


def _entry(key: str, values: Any) -> dict[str, Any]:
    """Return one entry of the recipe in the file's form."""
    sort = "layer_type" if key.startswith(TYPE_MARK) else "layer_name"
    entry: dict[str, Any] = {sort: key.removeprefix(TYPE_MARK), KINDS_KEY: list(KINDS)}
    if not isinstance(values, Mapping):
        return {**entry, OVERALL: values}
    given = json.loads(json.dumps(dict(values)))
    entry[KINDS_KEY] = given.pop(KINDS_KEY, entry[KINDS_KEY])
    tensors = {kind: given.pop(kind) for kind in KINDS if kind in given}
    return {
        **entry,
        **({OVERALL: given} if given else {}),
        **({TENSORS: tensors} if tensors else {}),
    }


def _table(document: Mapping[str, Any], key: str, path: Path) -> Mapping[str, Any]:
    found = document.get(key, {})
    if not isinstance(found, Mapping):
        raise InputError(f"{path.name}: '{key}' is no table", hint=f"write [{key}]")
    return found

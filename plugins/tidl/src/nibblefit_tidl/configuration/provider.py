"""Options of the TIDL providers: read from JSON or a dictionary, checked, written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nibblefit_tidl.configuration.fields import closest, keys_of, validated
from nibblefit_tidl.configuration.files import read_text
from nibblefit_tidl.configuration.problems import Problems, Remark, refuse
from nibblefit_tidl.configuration.provider_model import ADVANCED, ProviderOptions
from nibblefit_tidl.configuration.provider_rules import provider_problems
from nibblefit_tidl.devices import Device

__all__ = ["ProviderOptions", "options_text", "parse_options", "read_options_file"]

#: Keys of other runtimes, and what they belong to.
_FOREIGN = {"c7x_codegen": "TVM"}


def read_options_file(path: Path, device: Device | None = None) -> ProviderOptions:
    """Return the options in a JSON file; errors name lines.

    Raises:
        InputError: It is no JSON object, or the options have problems; lists all.
    """
    text = read_text(path)
    problems = Problems(path.name)
    values = _json_object(text, problems)
    problems.raise_if_any()
    return _options(values, device, problems)


def parse_options(
    values: Mapping[str, Any], device: Device | None = None, *, file: str = "provider options",
    lines: Mapping[str, int] | None = None,
) -> ProviderOptions:  # fmt: skip
    """Return the options in a dictionary, as handed to ONNX Runtime.

    Args:
        values: Flat (``advanced_options:calibration_frames``) or nested below
            ``advanced_options``; numbers may be texts, as the provider takes both.
        device: Checks for that device as well.
        file: Name for messages.
        lines: Key → line, where the dictionary comes from a file.

    Raises:
        InputError: Unknown keys, values out of range, conflicts; lists all.
    """
    return _options(values, device, Problems(file, dict(lines or {})))


def options_text(options: ProviderOptions, device: Device | None = None) -> str:
    """Return the options as JSON, only those that were given.

    Raises:
        InputError: They contradict themselves or the device.
    """
    refuse("the provider options", provider_problems(options, device))
    return json.dumps(options.flat(), indent=2) + "\n"


def folder_problems(folder: Path, *, compiling: bool) -> list[Remark]:
    """Return what is wrong with the artifacts folder; compiling needs it empty."""
    if not folder.is_dir():
        return [Remark("artifacts_folder", f"artifacts_folder {folder} does not exist",
                       "make it" if compiling else "compile first")]  # fmt: skip
    if compiling and any(folder.iterdir()):
        return [Remark("artifacts_folder", f"artifacts_folder {folder} is not empty: the provider "
                       "would mix old and new files", "empty it, or name another")]  # fmt: skip
    if not compiling and not (folder / "allowedNode.txt").is_file():
        return [Remark(
            "artifacts_folder", f"{folder} has no allowedNode.txt: everything would run on ARM",
            "compile for TIDL first, into this folder",
        )]  # fmt: skip
    return []


def _options(
    values: Mapping[str, Any], device: Device | None, problems: Problems
) -> ProviderOptions:
    flat = _flat(values, problems)
    options = validated(ProviderOptions, flat, problems)
    if options is not None:
        problems.add_all(provider_problems(options, device))
    problems.raise_if_any()
    assert options is not None  # no model without a problem
    return options


def _flat(values: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """Return the known options by their full keys; all others are problems."""
    known, found = keys_of(ProviderOptions), {}
    group = ADVANCED.removesuffix(":")
    pairs = list(values.items())
    nested = values.get(group)
    if isinstance(nested, Mapping):
        pairs = [pair for pair in pairs if pair[0] != group]
        pairs += [(f"{ADVANCED}{key}", value) for key, value in nested.items()]
    for key, value in pairs:
        line = problems.lines.get(key, 0)
        if key in found:
            problems.add(line, f"'{key}' is given flat and nested", "keep one of the two")
        elif key in known:
            # YAML and JSON leave lists out as null; the provider's word for that is an empty text.
            found[key] = "" if value is None else value
        else:
            problems.add(line, f"there is no option '{key}'; {_nearest(key)}", "the provider would "
                         "ignore it in silence: correct or remove it")  # fmt: skip
    return found


def _nearest(key: str) -> str:
    if key in _FOREIGN:
        return f"it belongs to {_FOREIGN[key]}"
    known = keys_of(ProviderOptions)
    if f"{ADVANCED}{key}" in known:
        return f"did you mean '{ADVANCED}{key}'?"
    if key.removeprefix(ADVANCED) in known:
        return f"did you mean '{key.removeprefix(ADVANCED)}'?"
    return closest(key, known)


def _json_object(text: str, problems: Problems) -> dict[str, Any]:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in items]
        for name in {name for name in names if names.count(name) > 1}:
            problems.add(_line_of(name, text), f"'{name}' is given twice", "keep one of them")
        return dict(items)

    try:
        found = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        problems.add(error.lineno, f"not readable as JSON: {error.msg}", "write a JSON object")
        return {}
    if not isinstance(found, dict):
        problems.add(1, "not a JSON object", 'write {"tensor_bits": 8, …}')
        return {}
    group = found.get(ADVANCED.removesuffix(":"))
    inner = group if isinstance(group, dict) else {}
    for key in (*found, *inner):
        name = f"{ADVANCED}{key}" if key in inner else key
        problems.lines[name] = _line_of(key, text)
    return found


def _line_of(key: str, text: str) -> int:
    """Return the line that sets a key; the quoted key before a colon occurs nowhere else."""
    place = text.find(json.dumps(key))
    return text.count("\n", 0, place) + 1 if place >= 0 else 0

"""The TIDL-RT import configuration: read with overrides, checked for a device, written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nibblefit_tidl.configuration.assignments import Entry, entries_of
from nibblefit_tidl.configuration.assignments import text_of as assignments_text
from nibblefit_tidl.configuration.fields import comments_of, keys_of, model_of
from nibblefit_tidl.configuration.files import read_text
from nibblefit_tidl.configuration.importer_model import ALIASES, RtImport
from nibblefit_tidl.configuration.importer_repairs import repaired, repairs_of
from nibblefit_tidl.configuration.importer_rules import importer_problems
from nibblefit_tidl.configuration.problems import Problems, refuse
from nibblefit_tidl.devices import Device

__all__ = ["RtImport", "importer_text", "parse_importer", "read_importer"]


def read_importer(
    path: Path, overrides: Sequence[str] = (), *, device: Device | None = None, repair: bool = False
) -> RtImport:
    """Return the configuration in a file; arguments as for `parse_importer`."""
    return parse_importer(read_text(path), overrides, device=device, repair=repair, file=path.name)


def parse_importer(
    text: str, overrides: Sequence[str] = (), *, device: Device | None = None,
    repair: bool = False, file: str = "import configuration",
) -> RtImport:  # fmt: skip
    """Return the configuration in a text.

    Args:
        text: Assignments; comments and quotes are tolerated.
        overrides: The importer's arguments behind the file: ``--key value`` in turn. They win.
        device: Checks for that device as well.
        repair: Repair as the importer would, where it would in silence; else those are problems.
        file: Name for messages.

    Raises:
        InputError: Unknown keys, values out of range, conflicts, silent repairs; lists all.
    """
    problems = Problems(file)
    entries = {entry.key: entry for entry in _renamed(entries_of(text, problems), problems)}
    entries.update((entry.key, entry) for entry in _overriding(overrides, problems))
    config = model_of(RtImport, entries.values(), problems)
    if config is not None:
        if repair:
            config = repaired(config)
        problems.add_all(each.remark() for each in repairs_of(config))
        problems.add_all(importer_problems(config, device))
    problems.raise_if_any()
    assert config is not None  # no model without a problem
    return config


def importer_text(config: RtImport, *, device: Device | None = None, explained: bool = True) -> str:
    """Return the file of a configuration.

    Args:
        config: Its given keys are written, the others keep the importer's default.
        device: Checks for that device as well.
        explained: Write above each key what it means.

    Raises:
        InputError: The configuration has problems, or the importer would repair it in silence.
    """
    remarks = [repair.remark() for repair in repairs_of(config)]
    refuse("the import configuration", [*remarks, *importer_problems(config, device)])
    return assignments_text(config.given().items(), comments_of(RtImport) if explained else {})


def _renamed(entries: Sequence[Entry], problems: Problems) -> list[Entry]:
    """Return entries under the keys' own names; both names at once are a problem."""
    lines = {entry.key: entry.line for entry in entries}
    found = []
    for entry in entries:
        name = ALIASES.get(entry.key, entry.key)
        if name != entry.key and name in lines:
            problems.add(entry.line, f"'{entry.key}' is another name of '{name}', which line "
                         f"{lines[name]} sets", "keep one of the two lines")  # fmt: skip
            continue
        found.append(Entry(name, entry.value, entry.line))
    return found


def _overriding(words: Sequence[str], problems: Problems) -> list[Entry]:
    """Return the entries of ``--key value`` arguments; a value may begin with a minus sign."""
    found, known = [], {*keys_of(RtImport), *ALIASES}
    place = 0
    while place < len(words):
        word = words[place]
        key = word.removeprefix("--")
        if not word.startswith("--") or not key:
            problems.add(0, f"argument '{word}' names no key", "write --key value")
            place += 1
        elif place + 1 == len(words) or words[place + 1].removeprefix("--") in known:
            problems.add(0, f"argument '{word}' has no value", "write --key value")
            place += 1
        else:
            found.append(Entry(ALIASES.get(key, key), words[place + 1], 0))
            place += 2
    return found

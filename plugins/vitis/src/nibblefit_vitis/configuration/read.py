"""Read a configuration: from a file or a dictionary to a checked `Configuration`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nibblefit_vitis.configuration.checking import check
from nibblefit_vitis.configuration.explaining import explain
from nibblefit_vitis.configuration.json_text import KeyPath, parse_object, read_text, without
from nibblefit_vitis.configuration.keys import LAYERS
from nibblefit_vitis.configuration.original import as_original
from nibblefit_vitis.configuration.problems import Problems
from nibblefit_vitis.configuration.remarks import remarks
from nibblefit_vitis.configuration.schema import Configuration


def read_configuration(path: Path, *, parity: bool = False) -> Configuration:
    """Return the configuration in a JSON file.

    Args:
        path: The file.
        parity: Accept, ignore and refuse what the original does, and stop at the first problem.
            Otherwise every problem is listed, also those that the original misses.

    Raises:
        InputError: It is no JSON, or has problems; each names its line, the value found, the
            values accepted, and the fix.
    """
    document, lines = parse_object(read_text(path), path.name)
    return parse_configuration(document, parity=parity, file=path.name, lines=lines)


def parse_configuration(
    document: Mapping[str, Any], *, parity: bool = False, file: str = "configuration",
    lines: Mapping[KeyPath, int] | None = None,
) -> Configuration:  # fmt: skip
    """Return the configuration in a dictionary shaped like the file.

    Args:
        document: As JSON gives it.
        parity: As for `read_configuration`.
        file: Name for messages.
        lines: Lines of keys, where there is a file.

    Raises:
        InputError: It has problems.
    """
    configuration, problems = examine(document, parity=parity, file=file, lines=lines)
    problems.raise_if_any(first_only=parity)
    assert configuration is not None  # none is left out without a problem
    return configuration


def examine(
    document: Mapping[str, Any], *, parity: bool = False, file: str = "configuration",
    lines: Mapping[KeyPath, int] | None = None,
) -> tuple[Configuration | None, Problems]:  # fmt: skip
    """Return the configuration in a dictionary, as far as it has its form, and all problems.

    Arguments are those of `parse_configuration`.
    """
    problems = Problems(file, lines or {})
    notes: tuple[str, ...] = ()
    original = Problems(file, problems.lines)
    kept = dict(document)
    if parity:
        kept, notes = as_original(kept, original)
    if kept.get(LAYERS, ()) is None:
        del kept[LAYERS]
    try:
        configuration = Configuration.model_validate(kept)
    except ValidationError as error:
        explain(error, problems)
        problems.found += original.found
        if not parity:
            _check_rest(kept, problems)
        return None, _sorted(problems, parity)
    problems.found += original.found
    check(configuration, problems, parity=parity)
    told = (*notes, *remarks(configuration, parity=parity))
    return configuration.with_notes(told), _sorted(problems, parity)


def _check_rest(document: Mapping[str, Any], problems: Problems) -> None:
    """Check the conflicts of what is left without the values that have no meaning."""
    paths = [one.path for one in problems.found]
    wrong = {path[-1] for path in paths if path}
    if "target_device" in wrong:
        return
    try:
        rest = Configuration.model_validate(without(document, paths))
    except ValidationError:  # a hole in the form, such as an entry that is no object
        return
    found = Problems(problems.file, problems.lines)
    check(rest, found, parity=False)
    # A key that was taken out conflicts by its default, which nobody wrote.
    problems.found += [one for one in found.found if wrong.isdisjoint((*one.path, *one.keys))]


def check_configuration(configuration: Configuration, *, parity: bool) -> None:
    """Refuse a configuration made in Python if its settings do not go together.

    Raises:
        InputError: They do not.
    """
    problems = Problems("configuration")
    check(configuration, problems, parity=parity)
    problems.raise_if_any(first_only=parity)


def _sorted(problems: Problems, parity: bool) -> Problems:
    """Return problems by line; in parity mode the order is the original's already."""
    if not parity:
        problems.found.sort(key=lambda one: one.line)
    return problems

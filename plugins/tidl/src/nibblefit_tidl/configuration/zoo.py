"""Model descriptions of the vendor's zoo: read, checked, written."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from nibblefit.errors import InputError
from nibblefit_tidl.configuration.fields import closest
from nibblefit_tidl.configuration.files import read_text
from nibblefit_tidl.configuration.problems import Problems, Remark
from nibblefit_tidl.configuration.provider import parse_options
from nibblefit_tidl.configuration.provider_model import ProviderOptions
from nibblefit_tidl.configuration.zoo_model import ZooIndex, ZooModel, ZooSection
from nibblefit_tidl.devices import Device

__all__ = ["ZooIndex", "ZooModel", "provider_options", "read_zoo_index", "read_zoo_model",
           "zoo_text"]  # fmt: skip

_Section = TypeVar("_Section", bound=ZooSection)
_Place = tuple[str | int, ...]


def read_zoo_model(path: Path, device: Device | None = None) -> ZooModel:
    """Return a model description; its runtime options are checked as well.

    Args:
        path: The YAML file.
        device: Checks the options for that device.

    Raises:
        InputError: It is no YAML, or has problems; lists all with their lines.
    """
    found, lines = _read(path, ZooModel)
    problems = Problems(path.name, {_key(place): line for place, line in lines.items()})
    problems.add_all(_session_problems(found))
    problems.raise_if_any()
    provider_options(found, device, file=path.name, lines={
        str(place[-1]): line for place, line in lines.items()
        if place[:2] == ("session", "runtime_options") and len(place) > 2
    })  # fmt: skip
    return found


def read_zoo_index(path: Path) -> ZooIndex:
    """Return the list of models: number → path.

    Raises:
        InputError: It is no YAML, or has problems; lists all with their lines.
    """
    return _read(path, ZooIndex)[0]


def provider_options(
    model: ZooModel, device: Device | None = None, *, file: str = "runtime_options",
    lines: dict[str, int] | None = None,
) -> ProviderOptions:  # fmt: skip
    """Return a description's runtime options, checked; errors as in `parse_options`."""
    return parse_options(model.session.runtime_options, device, file=file, lines=lines)


def zoo_text(model: ZooModel) -> str:
    """Return a description as YAML, only what was given."""
    buffer = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.dump(model.model_dump(mode="json", exclude_unset=True), buffer)
    return buffer.getvalue()


def _session_problems(model: ZooModel) -> list[Remark]:
    mean, scale = model.session.input_mean, model.session.input_scale
    if (mean is None) != (scale is None) or len(mean or ()) != len(scale or ()):
        count = [len(values or ()) for values in (mean, scale)]
        return [Remark("session.input_scale", f"input_mean has {count[0]} numbers, input_scale "
                       f"{count[1]}", "give one per channel in both")]  # fmt: skip
    return []


def _read(path: Path, kind: type[_Section]) -> tuple[_Section, dict[_Place, int]]:
    lines: dict[_Place, int] = {}
    problems = Problems(path.name)
    try:
        values = _values(_composed(read_text(path), path.name), (), lines, problems)
    except RecursionError as error:
        raise InputError(f"{path.name} contains itself", hint="remove the alias") from error
    problems.raise_if_any()
    if not isinstance(values, dict):
        raise InputError(f"{path.name} is not a mapping of keys", hint="give a model description")
    try:
        found = kind.model_validate(values)
    except ValidationError as error:
        for one in error.errors():
            _record(one, lines, problems, kind)
        problems.raise_if_any()
        raise  # an error without a message cannot be
    return found, lines


def _composed(text: str, file: str) -> Node:
    try:
        root: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise InputError(f"{file}:{line}: not readable as YAML: {error.problem}",
                         hint="check indentation and colons near that line") from error  # fmt: skip
    except (YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{file} is not readable as YAML: {error}") from error
    if root is None:
        raise InputError(f"{file} is empty", hint="give a model description")
    return root


def _values(node: Node, place: _Place, lines: dict[_Place, int], problems: Problems) -> Any:
    """Return plain values, and note the line of every place on the way."""
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, MappingNode):
        found: dict[Any, Any] = {}
        for key, value in _pairs(node):
            if key in found:
                problems.add(node.start_mark.line + 1, f"'{key}' is given twice", "keep one")
            lines[*place, key] = value[0]
            found[key] = _values(value[1], (*place, key), lines, problems)
        return found
    if isinstance(node, SequenceNode):
        return [_values(one, (*place, index), lines, problems)
                for index, one in enumerate(node.value)]  # fmt: skip
    return _scalar(node)


def _pairs(node: MappingNode) -> Iterator[tuple[Any, tuple[int, Node]]]:
    for key, value in node.value:
        yield _scalar(key), (key.start_mark.line + 1, value)


def _scalar(node: Node) -> Any:
    text = str(node.value)
    match str(node.tag).rpartition(":")[2]:
        case "int" | "float" as number:
            plain = text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan")
            try:
                return int(plain, 0) if number == "int" else float(plain)
            except ValueError:  # a spelling of YAML's own; the model says what it expects
                return text
        case "bool":
            return text.lower() in {"true", "yes", "on"}
        case "null":
            return None
        case _:
            return text


def _record(one: Any, lines: dict[_Place, int], problems: Problems, kind: type[ZooSection]) -> None:
    place = tuple(one["loc"])
    while place not in lines and place:
        place = place[:-1]
    key, text = _key(place), str(one["msg"]).replace("Input should", "it should")
    if one["type"] == "extra_forbidden":
        known = _known(kind, place[:-1])
        message = f"there is no key '{key}'; {closest(str(place[-1]), known)}"
    elif one["type"] == "missing":
        message = f"'{_key(tuple(one['loc']))}' is missing"
    else:
        message = f"'{key}' is {str(one['input'])[:60]!r}: {text}"
    problems.add(lines[place], message, "correct it as in the vendor's model zoo")


def _known(kind: type[ZooSection], place: _Place) -> list[str]:
    """Return the keys of the section at a place."""
    section: Any = kind
    for part in place:
        field = section.model_fields.get(part) if hasattr(section, "model_fields") else None
        options = getattr(field.annotation, "__args__", (field.annotation,)) if field else ()
        section = next((o for o in options if hasattr(o, "model_fields")), None)
    return list(section.model_fields) if section is not None else []


def _key(place: _Place) -> str:
    return ".".join(map(str, place))

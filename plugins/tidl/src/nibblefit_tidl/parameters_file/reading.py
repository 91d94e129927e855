"""Read and write quantization-parameter files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from nibblefit.errors import InputError, WorkspaceError, did_you_mean
from nibblefit_tidl.parameters_file.checking import require_valid
from nibblefit_tidl.parameters_file.message import (
    CalibType,
    LayerParameters,
    NetworkParameters,
    QuantType,
    TensorParameters,
)
from nibblefit_tidl.parameters_file.text import Field, parse, written

_Enum = TypeVar("_Enum", bound=StrEnum)
_TENSORS = ("outputs", "weights", "bias", "slope")
#: Names of protobuf's and C's constants, as printed into such files.
_NUMBERS = {"FLT_MAX": 3.4028234663852886e38, "FLT_MIN": 1.1754943508222875e-38,
            "-FLT_MAX": -3.4028234663852886e38, "-FLT_MIN": -1.1754943508222875e-38}  # fmt: skip


def read_parameters(path: Path | str, *, check: bool = True) -> NetworkParameters:
    """Read a file.

    Args:
        path: The file.
        check: Refuse parameters that the tools would misread; see `problems_of`.

    Raises:
        InputError: It is missing, no such file, or `check` finds problems.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not text"
        raise InputError(f"{path} cannot be read: {reason}", hint="give the text file") from problem
    found = parse_parameters(text, str(path))
    if check:
        require_valid(found, str(path))
    return found


def write_parameters(parameters: NetworkParameters, path: Path | str) -> None:
    """Write a file; what `read_parameters` returns for it equals `parameters`.

    Raises:
        InputError: The parameters are not valid.
        WorkspaceError: The file cannot be written.
    """
    require_valid(parameters, str(path))
    try:
        Path(path).write_text("\n".join(written(parameters)) + "\n", encoding="utf-8")
    except OSError as problem:
        raise WorkspaceError(f"{path} cannot be written: {problem.strerror}") from problem


def parse_parameters(text: str, where: str) -> NetworkParameters:
    """Return the message that a text holds, unchecked.

    Raises:
        InputError: The text is no such message; names the line.
    """
    found = _Reader(parse(text, where), where, ("num_layers", "quant_type", "calib_type", "layers"))
    return NetworkParameters(
        found.integer("num_layers"),
        found.choice("quant_type", QuantType.SYMMETRIC),
        found.choice("calib_type", CalibType.PERTENSOR),
        tuple(_layer(field, where) for field in found.all("layers")),
    )


def _layer(field: Field, where: str) -> LayerParameters:
    names = ("layer_name", "layer_type", "bit_depth", *_TENSORS)
    found = _Reader(_inside(field, where), where, names)
    return LayerParameters(
        found.text("layer_name"),
        found.text("layer_type"),
        found.integer("bit_depth", 8),
        *(tuple(_tensor(entry, where) for entry in found.all(name)) for name in _TENSORS),
    )


def _tensor(field: Field, where: str) -> TensorParameters:
    names = ("min", "max", "size", "element_type", "scale", "zero_point", "value")
    found = _Reader(_inside(field, where), where, names)
    return TensorParameters(
        found.number("min"),
        found.number("max"),
        found.integer("size"),
        found.text("element_type"),
        tuple(found.numbers("scale")),
        tuple(int(entry) for entry in found.numbers("zero_point")),
        tuple(found.numbers("value")),
    )


def _inside(field: Field, where: str) -> tuple[Field, ...]:
    if isinstance(field.value, str):
        raise InputError(f"{where}, line {field.line}: '{field.name}' is a message",
                         hint=f"write {field.name} {{ … }}")  # fmt: skip
    return field.value


class _Reader:
    """The fields of one message by name."""

    def __init__(self, given: Iterable[Field], where: str, known: tuple[str, ...]) -> None:
        self.where = where
        self.found: dict[str, list[Field]] = defaultdict(list)
        for field in given:
            if field.name not in known:
                raise InputError(f"{where}, line {field.line}: there is no field '{field.name}'",
                                 hint=did_you_mean(field.name, known))  # fmt: skip
            self.found[field.name].append(field)

    def all(self, name: str) -> list[Field]:
        """Return all fields of a name."""
        return self.found[name]

    def text(self, name: str) -> str:
        """Return a scalar's text, empty if it is left out."""
        field = self._one(name)
        return "" if field is None else self._scalar(field)

    def integer(self, name: str, default: int = 0) -> int:
        """Return an integer."""
        field = self._one(name)
        if field is None:
            return default
        try:
            return int(self._scalar(field))
        except ValueError as problem:
            raise self._wrong(field, "a whole number") from problem

    def number(self, name: str) -> float | None:
        """Return a number, None if it is left out."""
        field = self._one(name)
        return None if field is None else self._number(field)

    def numbers(self, name: str) -> list[float]:
        """Return all numbers of a name."""
        return [self._number(field) for field in self.found[name]]

    def choice(self, name: str, default: _Enum) -> _Enum:
        """Return a value of an enumeration."""
        field = self._one(name)
        if field is None:
            return default
        kind: Any = type(default)
        try:
            chosen: _Enum = kind(self._scalar(field))
        except ValueError as problem:
            raise self._wrong(field, " or ".join(kind)) from problem
        return chosen

    def _one(self, name: str) -> Field | None:
        if len(self.found[name]) > 1:
            line = self.found[name][1].line
            raise InputError(f"{self.where}, line {line}: '{name}' is given twice",
                             hint="keep one")  # fmt: skip
        return next(iter(self.found[name]), None)

    def _number(self, field: Field) -> float:
        text = self._scalar(field)
        try:
            return _NUMBERS[text] if text in _NUMBERS else float(text.removesuffix("f"))
        except ValueError as problem:
            raise self._wrong(field, "a number") from problem

    def _scalar(self, field: Field) -> str:
        if not isinstance(field.value, str):
            raise self._wrong(field, "a value, not a message")
        return field.value

    def _wrong(self, field: Field, expected: str) -> InputError:
        shown = field.value if isinstance(field.value, str) else "{ … }"
        return InputError(
            f"{self.where}, line {field.line}: {field.name} is {shown}; expected {expected}",
            hint="correct it, or delete the file so that the tools write it anew",
        )

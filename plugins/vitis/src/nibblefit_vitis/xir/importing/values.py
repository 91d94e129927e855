"""Attributes and operands of operators, checked for their kind before they are used."""

from __future__ import annotations

from nibblefit.errors import InputError
from nibblefit_vitis.xir.graph import Kind, XirOperator
from nibblefit_vitis.xir.importing.assembly import Array, Assembly
from nibblefit_vitis.xir.importing.views import View


def number(assembly: Assembly, operator: XirOperator, name: str, default: int) -> int:
    """Return an integer attribute."""
    found = operator.attributes.get(name)
    if found is None:
        return default
    if found.kind not in (Kind.INT32, Kind.UINT32, Kind.INT64, Kind.UINT64):
        raise wrong(assembly, operator, name, "an integer")
    return int(found.value)


def flag(assembly: Assembly, operator: XirOperator, name: str, *, default: bool) -> bool:
    """Return a truth value."""
    found = operator.attributes.get(name)
    if found is None:
        return default
    if found.kind is not Kind.BOOL:
        raise wrong(assembly, operator, name, "true or false")
    return bool(found.value)


def sizes(assembly: Assembly, operator: XirOperator, name: str, count: int) -> tuple[int, ...]:
    """Return a list of integers of a length."""
    found = operator.attributes.get(name)
    if found is None or found.kind is not Kind.INT32S or len(found.value) != count:
        raise wrong(assembly, operator, name, f"{count} integers")
    return tuple(found.value)


def axis(assembly: Assembly, operator: XirOperator, rank: int) -> int:
    """Return the place of attribute ``axis``, counted from the front."""
    found = number(assembly, operator, "axis", -1)
    if not -rank <= found < rank:
        raise wrong(assembly, operator, "axis", f"one of {rank} axes")
    return found % rank


def text(operator: XirOperator, name: str) -> str:
    """Return a text; empty where there is none."""
    found = operator.attributes.get(name)
    return str(found.value) if found is not None and found.kind is Kind.STRING else ""


def parameter(assembly: Assembly, operator: XirOperator, argument: str, rank: int) -> Array:
    """Return the constant behind an argument; its number of axes must fit."""
    given = assembly.operand(operator, 0, argument)
    if given not in assembly.loose:
        raise assembly.refused(operator, f"its {argument} '{given}' is no constant")
    array = assembly.loose[given]
    if array.ndim != rank:
        raise assembly.refused(operator, f"its {argument} has {array.ndim} axes, expected {rank}")
    return array


def image(assembly: Assembly, operator: XirOperator, index: int = 0) -> View:
    """Return an operand that is an image, as XIR's operators take it."""
    view = assembly.usual(operator, index)
    if len(view.shape) != 4:
        raise assembly.refused(operator, f"its input of shape {view.seen} is no image")
    return view


def wrong(assembly: Assembly, operator: XirOperator, name: str, expected: str) -> InputError:
    """Return the error for an attribute of a wrong kind."""
    found = operator.attributes.get(name)
    shown = "missing" if found is None else str(found.value)[:60]
    return assembly.refused(operator, f"its {name} is {shown}; expected {expected}")

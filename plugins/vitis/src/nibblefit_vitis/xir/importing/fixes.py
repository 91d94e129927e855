"""``fix`` operators: formats of tensors and parameters."""

from __future__ import annotations

from nibblefit.ir.ops import Op
from nibblefit_vitis.formats import FixPosition
from nibblefit_vitis.xir.graph import XirOperator
from nibblefit_vitis.xir.importing.assembly import Assembly

#: Part of the name of a fix that one layer puts before its input.
_BEFORE = "_pre_fix_i"
#: Positions beyond this are no powers of two of float32.
_FARTHEST = 150


def read_fix(assembly: Assembly, operator: XirOperator) -> None:
    """Note the format that a ``fix`` gives to what it reads."""
    given, form = assembly.operand(operator), _format(assembly, operator)
    if given in assembly.loose:
        assembly.loose[operator.name] = assembly.loose[given]
        assembly.fixes[operator.name] = form
        assembly.sources[operator.name] = given
        return
    view = assembly.view(operator)
    assembly.views[operator.name] = view
    known = assembly.outputs.get(view.tensor)
    if _BEFORE in operator.name:
        for reader in assembly.readers(operator.name):
            assembly.extra[assembly.layer_of(reader)] = form
    elif known is None:
        assembly.outputs[view.tensor] = form
    elif known != form:
        made = assembly.add(operator, Op.IDENTITY, (view.tensor,), view.shape, axes=view.axes)
        assembly.outputs[made.tensor] = form


def _format(assembly: Assembly, operator: XirOperator) -> FixPosition:
    position, bits = operator.value("fix_point"), operator.value("bit_width")
    if not isinstance(bits, int) or not 2 <= bits <= 32:
        raise assembly.refused(operator, f"its bit_width is {bits}; expected 2 to 32")
    if not isinstance(position, int) or abs(position) > _FARTHEST:
        raise assembly.refused(operator, f"its fix_point is {position}; expected a small number")
    rounding = operator.value("round_mode")
    if rounding != "DPU_ROUND":
        raise assembly.refused(operator, f"it rounds by {rounding}; expected DPU_ROUND")
    return FixPosition(bits, position, unsigned=not operator.value("if_signed", True))

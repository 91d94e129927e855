"""Rules for single layers: each looks at one node and moves positions where it must."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit_vitis.alignment import limits
from nibblefit_vitis.alignment.positions import Place, Positions
from nibblefit_vitis.options import Direction
from nibblefit_vitis.settings import NetworkSetting

Rule = Callable[[Positions, Node, NetworkSetting, Direction], None]


def weighted(at: Positions, node: Node, setting: NetworkSetting, direction: Direction) -> None:
    """Bring the shift of a layer's sum, then that of its bias, into range."""
    x, weights, out = at.operand(node), at.operand(node, 1), at.result(node)
    if x is None or weights is None or out is None:
        return
    cut = at[weights] + at[x] - at[out]
    if cut < limits.least_cut(setting):
        # The original moves by the whole shift, to 0, also where −1 would do.
        if direction == "output":
            at.move(out, at[out] + cut, f"its sum would be shifted left by {-cut}", node)
        else:
            at.move(weights, at[weights] - cut, f"its sum would be shifted left by {-cut}", node)
    elif cut > limits.MOST_CUT:
        new = at[weights] - (cut - limits.MOST_CUT)
        at.move(weights, new, f"its sum would be shifted right by {cut}, at most 16", node)
    if len(node.inputs) > 2:
        # The original decides on the bias by the shift before its repair.
        now = at[weights] + at[x] - at[out]
        _bias(at, node, setting, direction, cut if setting.parity else now)


def _bias(at: Positions, node: Node, setting: NetworkSetting, direction: Direction,
          cut: int) -> None:  # fmt: skip
    places = _operands(at, node)
    if len(places) != 3:
        return
    x, weights, bias = places
    reader = at.follower(node)
    leaky = reader is not None and reader.op is Op.LEAKY_RELU
    legal = limits.bias_limits(setting, cut, leaky=leaky)
    shift = at[weights] + at[x] - at[bias]
    if shift < legal.least:
        rule = f"its bias would be shifted by {shift}, at least {legal.least}"
        at.move(bias, at[bias] + shift - legal.least, rule, node)
    elif shift > legal.most:
        rule = f"its bias would be shifted left by {shift}, at most {legal.most}"
        if direction == "output":
            at.move(weights, at[weights] - (shift - legal.most), rule, node)
        else:
            at.move(bias, at[bias] + (shift - legal.most), rule, node)


def same_as_input(at: Positions, node: Node, setting: NetworkSetting,
                  direction: Direction) -> None:  # fmt: skip
    """Give what only moves values the position of its input, unless a concatenation reads it."""
    del setting, direction
    reader = at.follower(node)
    if reader is not None and reader.op is Op.CONCAT:
        return
    x, out = at.operand(node), at.result(node)
    if x is not None and out is not None:
        at.move(out, at[x], f"{node.op.value} cannot change the position", node)


def hard_sigmoid(at: Positions, node: Node, setting: NetworkSetting,
                 direction: Direction) -> None:  # fmt: skip
    """Keep a gate's input whole and its output fine enough."""
    del direction
    x, out = at.operand(node), at.result(node)
    if x is None or out is None:
        return
    _whole_input(at, node, x, setting)
    at.move(out, max(at[out], limits.GATE_POSITION), "a hard sigmoid needs at least 7", node)
    if not setting.parity:
        most = limits.GATE_SHIFT + at[x]
        at.move(out, min(at[out], most), f"a hard sigmoid reaches at most {most} here", node)


def hard_swish(at: Positions, node: Node, setting: NetworkSetting,
               direction: Direction) -> None:  # fmt: skip
    """Keep the product of input and gate within reach of its output."""
    del direction
    x, out = at.operand(node), at.result(node)
    if x is None or out is None:
        return
    at.move(x, max(at[x], 0), "a hard swish reads whole numbers of 2^-n, n ≥ 0", node)
    product = at[x] + limits.GATE_POSITION
    at.move(out, min(at[out], product), "a hard swish's product would be shifted left", node)
    if not setting.parity:
        least = product - limits.SWISH_PRODUCT[1]
        at.move(out, max(at[out], least), "a hard swish's product is shifted by at most 15", node)


def _whole_input(at: Positions, node: Node, x: Place, setting: NetworkSetting) -> None:
    least, most = limits.GATE_INPUT
    new = max(at[x], least) if setting.parity else min(max(at[x], least), most)
    at.move(x, new, "a hard sigmoid reads positions 0 to 15", node)


def addition(at: Positions, node: Node, setting: NetworkSetting, direction: Direction) -> None:
    """Bring the operands of a sum close enough together, and its output close to them."""
    del direction
    operands, out = _operands(at, node), at.result(node)
    if setting.parity or not operands or out is None:
        return
    least = min(at[operand] for operand in operands)
    for operand in operands:
        rule = f"operands of a sum are at most {limits.MOST_READ} apart"
        at.move(operand, min(at[operand], least + limits.MOST_READ), rule, node)
    low, high = limits.WRITE
    new = min(max(at[out], least - high), least - low)
    at.move(out, new, f"a sum is shifted by {low} to {high}", node)


def product(at: Positions, node: Node, setting: NetworkSetting, direction: Direction) -> None:
    """Keep an element-wise product within reach of its output."""
    del direction
    operands, out = _operands(at, node), at.result(node)
    if setting.parity or not operands or out is None:
        return
    total = sum(at[operand] for operand in operands)
    low, high = limits.PRODUCT
    new = min(max(at[out], total - high), total - low)
    at.move(out, new, f"a product is shifted by {low} to {high}", node)


def equal_ends(at: Positions, node: Node, setting: NetworkSetting) -> None:
    """Give inputs and output of a concatenation or pool one position.

    The original takes the output's, which may cut off values of an input that is coarser; Quark
    takes the coarsest.
    """
    operands, out = _operands(at, node), at.result(node)
    if not operands or out is None:
        return
    ends = (*operands, out)
    new = at[out] if setting.parity else min(at[end] for end in ends)
    for end in ends:
        at.move(end, new, f"inputs and output of a {node.op.value} have one position", node)


def _operands(at: Positions, node: Node) -> list[Place]:
    """Return the places of all inputs, none if one of them has no position."""
    found = [at.operand(node, index) for index in range(len(node.inputs))]
    known = [place for place in found if place is not None]
    return known if len(known) == len(found) else []


#: Rules in the order of the graph, by operator.
RULES: Mapping[Op, Rule] = {
    **dict.fromkeys(WEIGHTED | {Op.SCALE_OFFSET}, weighted),
    Op.SLICE: same_as_input,
    Op.PAD: same_as_input,
    Op.RESIZE_NEAREST: same_as_input,
    Op.HARD_SIGMOID: hard_sigmoid,
    Op.HARD_SWISH: hard_swish,
    Op.ADD: addition,
    Op.SUB: addition,
    Op.MUL: product,
}
CONCATENATIONS = frozenset({Op.CONCAT})
POOLS = frozenset({Op.MAX_POOL, Op.AVG_POOL, Op.GLOBAL_AVG_POOL, Op.GLOBAL_MAX_POOL})

"""Every rule by sort of layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nibblefit_vitis.devices.dpu import Dpu
from nibblefit_vitis.inspection.layer import Layer, Sort
from nibblefit_vitis.inspection.rules.combining import as_depthwise, elementwise
from nibblefit_vitis.inspection.rules.moving import NEVER, bilinear, concat, nearest, pad
from nibblefit_vitis.inspection.rules.verdict import Refusal, Verdict
from nibblefit_vitis.inspection.rules.windows import convolution, dense, pool, transposed

_RULES: Mapping[Sort, Callable[[Layer, Dpu], Verdict]] = MappingProxyType({
    Sort.CONVOLUTION: convolution, Sort.TRANSPOSED: transposed, Sort.DENSE: dense,
    Sort.MAX_POOL: pool, Sort.AVERAGE_POOL: pool, Sort.ADD: elementwise, Sort.SUB: elementwise,
    Sort.MUL: elementwise, Sort.NORM: as_depthwise, Sort.PAD: pad, Sort.NEAREST: nearest,
    Sort.BILINEAR: bilinear, Sort.CONCAT: concat,
})  # fmt: skip


def judged(layer: Layer, dpu: Dpu) -> Verdict:
    """Return whether a DPU's engines fit a layer, seen alone."""
    rule = _RULES.get(layer.sort)
    if rule is not None:
        return rule(layer, dpu)
    if layer.sort in NEVER:
        why, remedy = NEVER[layer.sort]
        return Refusal("vitis.operator", why, remedy)
    return Refusal("vitis.operator", "the DPU's compiler does not know this operator",
                   "replace it by operators that the DPU has, or move it to an end of the "
                   "network")  # fmt: skip

"""One table from operator to the function that builds its kernel."""

from __future__ import annotations

from collections.abc import Mapping

from nibblefit.engine.kernels import elementwise, movement, pointwise, pooling
from nibblefit.engine.layers import build_layer
from nibblefit.engine.ranges import UnprovableError
from nibblefit.engine.task import Builder, Kernel, Task
from nibblefit.ir.ops import ELEMENTWISE, WEIGHTED, Op

#: Operators missing here are executed by the judge's own formula: they are small or rare (softmax,
#: argmax, bilinear resize, shifts chosen at run time).
BUILDERS: Mapping[Op, Builder] = {
    **dict.fromkeys(WEIGHTED, build_layer),
    **dict.fromkeys(ELEMENTWISE, elementwise.build_combination),
    Op.MATMUL: elementwise.build_matmul,
    Op.SCALE_OFFSET: elementwise.build_scale_offset,
    Op.MAX_POOL: pooling.build_max_pool,
    Op.AVG_POOL: pooling.build_sum_pool,
    Op.GLOBAL_AVG_POOL: pooling.build_global_sum,
    Op.GLOBAL_MAX_POOL: pooling.build_global_max,
    Op.CONCAT: movement.build_concat,
    Op.SLICE: movement.build_slice,
    Op.SPLIT: movement.build_split,
    Op.PAD: movement.build_pad,
    Op.RESIZE_NEAREST: movement.build_resize_nearest,
    Op.PIXEL_SHUFFLE: movement.build_pixel_shuffle,
    Op.FLATTEN: movement.build_flatten,
    Op.RESHAPE: movement.build_reshape,
    Op.TRANSPOSE: movement.build_transpose,
    Op.IDENTITY: movement.build_identity,
    Op.RELU: pointwise.build_clip,
    Op.CLIP: pointwise.build_clip,
    Op.ABS: pointwise.build_abs,
    Op.LEAKY_RELU: pointwise.build_leaky_relu,
    Op.PRELU: pointwise.build_prelu,
    Op.HARD_SIGMOID: pointwise.build_hard_sigmoid,
    Op.HARD_SWISH: pointwise.build_hard_swish,
    Op.TABLE: pointwise.build_table,
}


def left_to_judge(task: Task) -> Kernel:
    """Refuse: the operator has no kernel of its own."""
    raise UnprovableError(f"{task.op.value} runs by the judge's formula")

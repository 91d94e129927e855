"""Shape inference: values for every operator, and refusals that name both numbers."""

from __future__ import annotations

import pytest

from nibblefit.errors import GraphError
from nibblefit.ir.ops import Op
from nibblefit.ir.shapes import infer_shapes

CASES = [
    (Op.CONV, {"pads": (1, 1, 1, 1), "strides": (2, 2)},
     [(3, 9, 8), (4, 3, 3, 3), (4,)], (4, 5, 4)),
    (Op.CONV, {"groups": 2, "dilations": (2,)}, [(4, 9), (6, 2, 3)], (6, 5)),
    (Op.CONV_TRANSPOSE, {"strides": (2,), "output_padding": (1,), "pads": (1, 1)},
     [(4, 5), (4, 3, 3), (3,)], (3, 10)),
    (Op.LINEAR, {}, [(7, 5), (2, 5), (2,)], (7, 2)),
    (Op.MATMUL, {}, [(3, 2, 5), (5, 4)], (3, 2, 4)),
    (Op.MATMUL, {}, [(5,), (5, 4)], (4,)),
    (Op.MAX_POOL, {"kernel": (2, 2), "strides": (2, 2)}, [(3, 5, 5)], (3, 2, 2)),
    (Op.MAX_POOL, {"kernel": (2, 2), "strides": (2, 2), "ceil_mode": True}, [(3, 5, 5)], (3, 3, 3)),
    # A last window would start in the end padding only, so ceil_mode drops it.
    (Op.AVG_POOL, {"kernel": (2,), "strides": (3,), "pads": (1, 1), "ceil_mode": True},
     [(1, 5)], (1, 2)),
    (Op.GLOBAL_AVG_POOL, {}, [(3, 5, 6)], (3, 1, 1)),
    (Op.GLOBAL_MAX_POOL, {}, [(3, 5)], (3, 1)),
    (Op.ADD, {}, [(3, 4, 4), (3, 1, 1), (4,)], (3, 4, 4)),
    (Op.CONCAT, {"axis": 1}, [(3, 4), (5, 4)], (8, 4)),
    (Op.CONCAT, {"axis": -1}, [(3, 4), (3, 1)], (3, 5)),
    (Op.SLICE, {"axes": (1, 2), "starts": (0, 3), "ends": (2, None), "strides": (1, -1)},
     [(3, 5)], (2, 4)),
    (Op.SLICE, {"axes": (2,), "starts": (-2,), "ends": (99,)}, [(3, 5)], (3, 2)),
    (Op.RELU, {}, [(3, 4)], (3, 4)),
    (Op.PRELU, {}, [(3, 4), (1,)], (3, 4)),
    (Op.BATCH_NORM, {}, [(3, 4), (3,), (3,), (3,), (3,)], (3, 4)),
    (Op.SCALE_OFFSET, {}, [(3,), (3,), (3,)], (3,)),
    (Op.TABLE, {"lowest": -128}, [(3, 4), (256,)], (3, 4)),
    (Op.SOFTMAX, {"axis": 1}, [(10,)], (10,)),
    (Op.SOFTMAX, {"axis": -1}, [(10,), (256,)], (10,)),
    (Op.ARGMAX, {"axis": 1}, [(10, 4)], (4,)),
    (Op.ARGMAX, {"axis": 1, "keepdims": True}, [(10, 4)], (1, 4)),
    (Op.PAD, {"pads": (0, 1, 2, 3)}, [(3, 4)], (5, 8)),
    (Op.RESIZE_NEAREST, {"sizes": (8, 6)}, [(3, 4, 4)], (3, 8, 6)),
    (Op.RESIZE_BILINEAR, {"sizes": (8,)}, [(3, 4)], (3, 8)),
    (Op.PIXEL_SHUFFLE, {"factor": 2}, [(8, 3, 4)], (2, 6, 8)),
    (Op.FLATTEN, {}, [(3, 4, 5)], (60,)),
    (Op.FLATTEN, {"start_axis": 2}, [(3, 4, 5)], (3, 20)),
    (Op.FLATTEN, {"start_axis": 1}, [()], (1,)),
    (Op.RESHAPE, {"shape": (6, 2)}, [(3, 4)], (6, 2)),
    (Op.TRANSPOSE, {"perm": (0, 2, 1)}, [(3, 4)], (4, 3)),
    (Op.CHOOSE_SHIFT, {}, [(3, 4)], (1,)),
    (Op.SHIFT_RIGHT, {}, [(3, 4), (1,)], (3, 4)),
]  # fmt: skip


@pytest.mark.parametrize(("op", "attributes", "inputs", "expected"), CASES)
def test_shapes_follow_from_attributes_and_inputs(op, attributes, inputs, expected):
    """The batch axis is never part of a shape; constants keep theirs."""
    assert infer_shapes(op, attributes, inputs) == (expected,)


def test_split_has_one_output_per_size():
    """Sizes must cover the axis."""
    assert infer_shapes(Op.SPLIT, {"axis": 1, "sizes": (1, 3)}, [(4, 2)]) == ((1, 2), (3, 2))


WRONG = [
    (Op.CONV, {}, [(3, 9, 9), (4, 2, 3, 3)], r"3 channels; weights .* expect 2"),
    (Op.CONV, {}, [(3, 9, 9), (4, 3)], r"weights are \(4, 3\)"),
    (Op.CONV, {}, [(3, 9), (4, 3, 3, 3)], "do not fit"),
    (Op.CONV, {}, [(3, 9), (4, 3, 3), (5,)], r"bias is \(5,\); expected \(4,\)"),
    (Op.CONV, {"groups": 2}, [(6, 9), (5, 3, 3)], "do not divide into 2 groups"),
    (Op.CONV, {"pads": (1,)}, [(3, 9), (4, 3, 3)], "expected 2 entries"),
    (Op.CONV, {}, [(3, 2), (4, 3, 3)], "no window fits"),
    (Op.CONV, {}, [(3, 2)], "1 inputs; expected 2 to 3"),
    (Op.MATMUL, {}, [(3, 2)], "1 inputs; expected 2"),
    (Op.ADD, {}, [(3, 2)], r"1 inputs; expected 2\+"),
    (Op.CONV_TRANSPOSE, {}, [(4, 5), (4, 3)], r"weights are \(4, 3\)"),
    (Op.CONV_TRANSPOSE, {"groups": 3}, [(4, 5), (4, 3, 3)], "do not divide into 3 groups"),
    (Op.CONV_TRANSPOSE, {"output_padding": (1,)}, [(4, 5), (4, 3, 3)], "must be below stride"),
    (Op.CONV_TRANSPOSE, {"pads": (9, 9)}, [(4, 5), (4, 3, 3)], "no window fits"),
    (Op.LINEAR, {}, [(7,), (2, 5)], "expect \\(5,\\)"),
    (Op.LINEAR, {}, [(5,), (5,)], "expected \\(out, in\\)"),
    (Op.MATMUL, {}, [(3, 2), (3, 2)], "do not fit"),
    (Op.MAX_POOL, {}, [(3, 5)], "lacks the attribute 'kernel'"),
    (Op.MAX_POOL, {"kernel": (2, 2)}, [(3, 5)], "does not fit input"),
    (Op.MAX_POOL, {"kernel": (2,), "pads": (2, 0)}, [(3, 5)], "hold padding only"),
    (Op.GLOBAL_AVG_POOL, {}, [(3,)], "expected \\(channels, \\*spatial\\)"),
    (Op.ADD, {}, [(3, 4), (2, 4)], "do not broadcast"),
    (Op.CONCAT, {"axis": 0}, [(3,), (4,)], "axis is 0; expected 1 to 1"),
    (Op.CONCAT, {"axis": 1}, [(3, 4), (3, 5)], "differ beside axis 1"),
    (Op.SLICE, {"axes": (1,), "starts": (0, 1), "ends": (1,)}, [(3,)], "differ in length"),
    (Op.SLICE, {"axes": (1,), "starts": (2,), "ends": (1,)}, [(3,)], "is empty"),
    (Op.SPLIT, {"axis": 1, "sizes": (1, 1)}, [(4,)], "add up to 2"),
    (Op.BATCH_NORM, {}, [(3, 4), (1,), (3,), (3,), (3,)], "one entry per channel"),
    (Op.TABLE, {}, [(3,), (2, 2)], "expected one axis"),
    (Op.SOFTMAX, {"axis": 1}, [(3,), (2, 2)], "expected one axis"),
    (Op.PAD, {"pads": (1, 1)}, [(3, 4)], "expected 2 begins"),
    (Op.RESIZE_NEAREST, {"sizes": (2,)}, [(3, 4, 4)], "do not fit"),
    (Op.PIXEL_SHUFFLE, {"factor": 2}, [(6, 3, 3)], "multiple of 4"),
    (Op.FLATTEN, {"start_axis": 4}, [(3, 4)], "start_axis is 4"),
    (Op.RESHAPE, {"shape": (5,)}, [(3, 4)], "12 values"),
    (Op.TRANSPOSE, {"perm": (1, 0)}, [(3,)], "batch axis first"),
    (Op.SHIFT_RIGHT, {}, [(3,), (2,)], "amount is"),
]


@pytest.mark.parametrize(("op", "attributes", "inputs", "text"), WRONG)
def test_what_does_not_fit_is_refused_with_expected_and_found(op, attributes, inputs, text):
    """Each refusal names the operator and the numbers."""
    with pytest.raises(GraphError, match=text):
        infer_shapes(op, attributes, inputs)

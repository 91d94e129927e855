"""The vendor's fused layer classes as data: every name, and what it fuses.

A name says what a layer does in the accelerator's order: ``Fused`` + pooling + operator + batch
norm and activation, such as ``FusedMaxPoolConv2dBNReLU``. The vendor writes a class for most
combinations by hand; here the grid is complete and each class comes from its row.

Source: ai8x-training commit c3d4eb1, `ai8x.py`: names, constructor arguments and defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

#: Operator word of a name → operator, spatial axes, depthwise.
_OPERATORS = {
    "Conv2d": ("conv2d", 2, False),
    "DepthwiseConv2d": ("conv2d", 2, True),
    "ConvTranspose2d": ("convtranspose2d", 2, False),
    "DepthwiseConvTranspose2d": ("convtranspose2d", 2, True),
    "Conv1d": ("conv1d", 1, False),
    "DepthwiseConv1d": ("conv1d", 1, True),
}
_POOLS = {"": None, "MaxPool": "Max", "AvgPool": "Avg"}
_TAILS = ("", "ReLU", "Abs", "BN", "BNReLU", "BNAbs")


@dataclass(frozen=True, slots=True)
class Form:
    """What one class fuses.

    Attributes:
        name: Name of the class, the vendor's.
        operator: ``conv2d``, ``convtranspose2d``, ``conv1d``, ``linear``, or empty: pooling only.
        axes: Spatial axes; 0 for linear.
        depthwise: As many groups as channels (MAX78002).
        pooling: ``Max``, ``Avg`` or None, in front of the operator.
        batchnorm: Whether a batch norm follows unless the constructor is told otherwise.
        activation: ``ReLU``, ``Abs`` or None.
    """

    name: str
    operator: str
    axes: int
    depthwise: bool = False
    pooling: str | None = None
    batchnorm: bool = False
    activation: str | None = None


def _operators() -> list[Form]:
    found = []
    for (word, (operator, axes, depthwise)), (pool, pooling), tail in product(
        _OPERATORS.items(), _POOLS.items(), _TAILS
    ):
        name = f"Fused{pool}{word}{tail}" if pool or tail else word
        activation = tail.removeprefix("BN") or None
        normed = tail.startswith("BN")
        found.append(Form(name, operator, axes, depthwise, pooling, normed, activation))
    return found


def _linear() -> list[Form]:
    return [
        Form(f"FusedLinear{tail}" if tail else "Linear", "linear", 0, activation=tail or None)
        for tail in ("", "ReLU", "Abs")
    ]


def _pools() -> list[Form]:
    return [
        Form(f"{word}Pool{axes}d", "", axes, pooling=word)
        for word in ("Max", "Avg")
        for axes in (1, 2)
    ]


#: Every class with weights or pooling, by name.
FORMS: dict[str, Form] = {form.name: form for form in (*_operators(), *_linear(), *_pools())}

#: Element-wise classes → operation. ``Xor`` and ``Or`` are the vendor's older names.
ELTWISE = {
    "Add": "add", "Sub": "sub", "BitwiseXor": "xor", "BitwiseOr": "or", "Xor": "xor", "Or": "or",
}  # fmt: skip

"""ONNX operators that cannot be represented: why, and the nearest thing that works."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

_QUANTIZED = (
    "the file is already quantized",
    "start from the float file: quantization is decided here, per target",
)
_RECURRENT = ("recurrent layers keep a state between steps", "use convolutions over the time axis")
_CONTROL = ("control flow depends on data", "export the network with fixed shapes and no branches")
_NORM = ("its statistics depend on the data at run time", "use BatchNormalization")
_SMOOTH = (
    "this function has no operator in the graph",
    "use Relu, LeakyRelu or HardSwish, and retrain",
)

KNOWN: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv",
         "QLinearMatMul", "ConvInteger", "MatMulInteger"),
        _QUANTIZED,
    ),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _RECURRENT),
    **dict.fromkeys(("If", "Loop", "Scan"), _CONTROL),
    **dict.fromkeys(
        ("LayerNormalization", "InstanceNormalization", "GroupNormalization", "LRN",
         "LpNormalization", "MeanVarianceNormalization", "RMSNormalization"),
        _NORM,
    ),
    **dict.fromkeys(
        ("Gelu", "Elu", "Selu", "Celu", "Mish", "Softplus", "Softsign", "Exp", "Log", "Sqrt",
         "Erf", "Sin", "Cos", "Reciprocal", "ThresholdedRelu", "Swish"),
        _SMOOTH,
    ),
    "LogSoftmax": ("losses do not belong into the network", "end the network at the logits"),
    "Upsample": ("this operator ended with opset 9", "use Resize"),
    "Attention": ("fused attention has no operator of its own", "write it as MatMul and Softmax"),
    "Einsum": ("index notation is not read", "write it as MatMul, Transpose and Reshape"),
    "NonMaxSuppression": (
        "its number of results depends on the data", "cut the file before the decoding of boxes"
    ),
    "TopK": ("it sorts values", "use ArgMax, or cut the file before it"),
}  # fmt: skip


def reason_for(node: onnx.NodeProto) -> tuple[str, str]:
    """Return why an operator is refused and what to use instead."""
    if node.domain not in {"", "ai.onnx"}:
        return (
            f"it comes from the operator set '{node.domain}', which is not part of the standard",
            "export the network without fused or custom operators",
        )
    return KNOWN.get(node.op_type, ("the graph has no operator for it", ""))

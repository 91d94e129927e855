"""Functions of torch that cannot be represented: why, and the nearest thing that works."""

from __future__ import annotations

from collections.abc import Mapping

_RECURRENT = "use Conv1d over the time axis, or unroll the network into feed-forward layers"
_ATTENTION = "use convolutions, or matmul and softmax written out without masks"
_NORM = "use BatchNorm, which folds into the layer before it"
_SMOOTH = "use ReLU, LeakyReLU or Hardswish, which integer hardware computes"
_LOGITS = "return the logits and leave this to the loss"
_REPEAT = "use F.interpolate(mode='nearest') for images, or let broadcasting repeat the values"
_PICK = "use slices (x[:, a:b]) and torch.cat"

#: Function name → (reason, nearest thing that works), for what is often met.
KNOWN: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell"),
        ("recurrent layers keep a state between steps", _RECURRENT),
    ),
    **dict.fromkeys(
        ("multi_head_attention_forward", "scaled_dot_product_attention",
         "_transformer_encoder_layer_fwd", "_native_multi_head_attention"),
        ("fused attention has no operator of its own", _ATTENTION),
    ),
    **dict.fromkeys(
        ("layer_norm", "group_norm", "instance_norm", "local_response_norm", "rms_norm",
         "normalize", "raw_batch_norm"),
        ("its statistics depend on the data at run time", _NORM),
    ),
    **dict.fromkeys(
        ("gelu", "elu", "selu", "celu", "mish", "softplus", "softsign", "logsigmoid", "glu",
         "rrelu", "tanhshrink", "hardshrink", "softshrink", "exp", "log", "sqrt", "rsqrt", "sin",
         "cos", "erf", "reciprocal", "rtruediv"),
        ("this function has no operator in the graph", _SMOOTH),
    ),
    **dict.fromkeys(
        ("log_softmax", "cross_entropy", "nll_loss", "mse_loss"),
        ("losses do not belong into the network", _LOGITS),
    ),
    **dict.fromkeys(
        ("repeat", "tile", "repeat_interleave"), ("repeating values has no operator", _REPEAT)
    ),
    **dict.fromkeys(
        ("gather", "index_select", "take", "masked_fill", "masked_select", "where", "scatter",
         "embedding", "embedding_bag", "roll", "flip", "setitem", "copy", "fill", "zero"),
        ("values are picked or written by index", _PICK),
    ),
    **dict.fromkeys(
        ("long", "int", "short", "char", "byte", "bool", "round", "floor", "ceil", "trunc"),
        ("it rounds or turns values into integers inside the network",
         "leave rounding to quantization"),
    ),
    **dict.fromkeys(
        ("gt", "lt", "ge", "le", "eq", "ne", "greater", "less", "logical_and", "logical_or",
         "logical_not"),
        ("comparisons have no operator", "use relu and clamp, which choose by value"),
    ),
    "einsum": ("index notation is not read", "write it as matmul, permute and reshape"),
    "max": ("max returns values and places", "use amax for values or argmax for places"),
    "min": ("min has no operator", "use −amax(−x), or clamp for a fixed bound"),
    "maximum": ("the larger of two tensors has no operator", "use relu(a − b) + b"),
    "minimum": ("the smaller of two tensors has no operator", "use a − relu(a − b)"),
    "norm": ("a norm has no operator", "use BatchNorm, or mean(x * x)"),
    "std": ("statistics at run time have no operator", _NORM),
    "var": ("statistics at run time have no operator", _NORM),
}  # fmt: skip

#: Asking a tensor for its values in Python.
READS_VALUES = frozenset({
    "bool", "item", "float", "int", "index", "tolist", "numpy", "array", "equal", "allclose",
    "is_nonzero", "contains", "isclose", "complex",
})  # fmt: skip
VALUES_REASON = "the Python code depends on the values of a tensor, not only on its shape"
VALUES_HINT = "compute both branches and blend them by multiplication, or decide outside"

RANDOM = frozenset({
    "rand", "randn", "randint", "randperm", "bernoulli", "normal", "rand_like", "randn_like",
    "randint_like", "multinomial", "poisson", "uniform", "exponential",
})  # fmt: skip

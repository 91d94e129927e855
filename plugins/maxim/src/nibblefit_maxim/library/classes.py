"""The classes themselves, made from their rows."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from nibblefit.errors import InputError
from nibblefit_maxim.layers import Eltwise
from nibblefit_maxim.library.forms import ELTWISE, FORMS, Form
from nibblefit_maxim.library.layer import (
    DATA_BOUNDS,
    MAX_FEATURES,
    FusedLayer,
    Mode,
    activation_of,
    build_norm,
    build_op,
    build_pool,
)
from nibblefit_maxim.numerics import BINARY, WEIGHT_BITS
from nibblefit_maxim.qat.gathering import combined


def _convolution(form: Form) -> type[FusedLayer]:
    class Made(FusedLayer):
        def __init__(  # noqa: PLR0917 - the vendor's arguments in the vendor's order
            self,
            in_channels: int,
            out_channels: int,
            kernel_size: Any,
            pool_size: Any = 2,
            pool_stride: Any = 2,
            pool_dilation: Any = 1,
            stride: int = 1,
            padding: int = 0,
            dilation: int = 1,
            bias: bool = True,
            activation: str | None = form.activation,
            wide: bool = False,
            batchnorm: str | None = "Affine" if form.batchnorm else None,
            weight_bits: int | str | None = None,
            bias_bits: int | None = None,
            quantize_activation: bool = False,
            groups: int = 1,
            eps: float = 1e-05,
            momentum: float = 0.05,
            pooling: str | None = form.pooling,
        ) -> None:
            _only_known(form, bias_bits, weight_bits, quantize_activation)
            if pooling is not None and stride != 1 and form.operator != "convtranspose2d":
                raise InputError(f"{form.name}: stride is {stride}; behind pooling it must be 1")
            if batchnorm is not None and not bias:
                raise InputError(f"{form.name}: batch norm needs bias=True to fold into")
            arguments = {
                "in_channels": in_channels, "out_channels": out_channels, "bias": bias,
                "kernel_size": kernel_size, "stride": stride, "padding": padding,
                "dilation": dilation, "groups": groups,
            }  # fmt: skip
            super().__init__(
                form,
                build_op(form, arguments),
                build_pool(form, pooling, pool_size, pool_stride, pool_dilation),
                build_norm(form, batchnorm, out_channels, eps, momentum),
                activation_of(form, activation, wide=wide),
                wide=wide,
                weight_bits=weight_bits or 8,
            )

    return Made


def _linear(form: Form) -> type[FusedLayer]:
    class Made(FusedLayer):
        def __init__(  # noqa: PLR0917 - the vendor's arguments in the vendor's order
            self,
            in_features: int,
            out_features: int,
            bias: bool | None = None,
            activation: str | None = form.activation,
            wide: bool = False,
            weight_bits: int | str | None = None,
            bias_bits: int | None = None,
            quantize_activation: bool = False,
        ) -> None:
            _only_known(form, bias_bits, weight_bits, quantize_activation)
            if max(in_features, out_features) > MAX_FEATURES:
                raise InputError(
                    f"{form.name}: {in_features} to {out_features} features; at most "
                    f"{MAX_FEATURES} each way",
                    hint="flatten a smaller plane, or use a plain nn.Linear, which is fused too",
                )
            super().__init__(
                form,
                nn.Linear(in_features, out_features, bool(bias)),
                None,
                None,
                activation_of(form, activation, wide=wide),
                wide=wide,
                weight_bits=weight_bits or 8,
            )

    return Made


def _pool(form: Form) -> type[FusedLayer]:
    class Made(FusedLayer):
        def __init__(self, kernel_size: Any, stride: Any = None, dilation: Any = 1) -> None:
            pool = build_pool(form, form.pooling, kernel_size, stride, dilation)
            none = activation_of(form, None, wide=False)
            super().__init__(form, None, pool, None, none, wide=False, weight_bits=8)

    return Made


def _only_known(form: Form, bias_bits: Any, weight_bits: Any, quantize_activation: bool) -> None:
    if weight_bits not in (None, *WEIGHT_BITS, BINARY):
        expected = "expected 1, 2, 4, 8 or 'binary'"
        raise InputError(f"{form.name}: weight_bits is {weight_bits!r}; {expected}")
    if bias_bits not in (None, weight_bits, 8):
        raise InputError(f"{form.name}: bias_bits is {bias_bits!r}; it follows weight_bits")
    if quantize_activation:
        raise InputError(
            f"{form.name}: quantize_activation is set",
            hint="build the model first, then call nibblefit_maxim.library.start_qat(model)",
        )


class EltwiseLayer(nn.Module):
    """Operands combined element by element, from left to right.

    Bit operations act on int8 codes, as on the chip. (The vendor's training moves its values by one
    half before, so there the bits are others.)
    """

    mode: Mode = Mode.PLAIN

    def __init__(self, kind: Eltwise) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, *x: Tensor) -> Tensor:
        """Return the combination of two or more operands; clipped unless the mode is plain."""
        y = combined(self.kind, x, quantized=False)
        return y if self.mode is Mode.PLAIN else y.clamp(*DATA_BOUNDS)

    def extra_repr(self) -> str:
        """Return the mode for printing."""
        return str(self.mode)


def _eltwise(kind: Eltwise) -> type[EltwiseLayer]:
    class Made(EltwiseLayer):
        def __init__(self) -> None:
            super().__init__(kind)

    return Made


def _finished(name: str, made: type[nn.Module], text: str) -> type[nn.Module]:
    made.__name__ = made.__qualname__ = name
    made.__module__ = "nibblefit_maxim.library"
    made.__doc__ = text
    return made


def _describe(form: Form) -> str:
    words = [f"{form.pooling} pooling" if form.pooling else "", form.operator,
             "batch norm" if form.batchnorm else "", form.activation or ""]  # fmt: skip
    depthwise = ", one group per channel" if form.depthwise else ""
    return f"{' + '.join(word for word in words if word)}{depthwise}, as one hardware layer."


def make_classes() -> dict[str, type[nn.Module]]:
    """Return every class by name."""
    makers = {"linear": _linear, "": _pool}
    made: dict[str, type[nn.Module]] = {
        name: _finished(name, makers.get(form.operator, _convolution)(form), _describe(form))
        for name, form in FORMS.items()
    }
    for name, word in ELTWISE.items():
        made[name] = _finished(name, _eltwise(Eltwise(word)), f"Element-wise {word}.")
    return made


CLASSES = make_classes()

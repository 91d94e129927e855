"""Gemm and MatMul."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_import.site import Handler, Site
from nibblefit.nn.problems import Refused


def _gemm(site: Site) -> str:
    if site.attribute("transA", 0) or not site.is_activation(0) or site.is_activation(1):
        raise Refused(
            "only activation · constant + constant is a linear layer", "use MatMul and Add"
        )
    alpha, beta = float(site.attribute("alpha", 1.0)), float(site.attribute("beta", 1.0))
    is_turned = bool(site.attribute("transB", 0))

    def weights(value: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return alpha * (value if is_turned else value.T)

    form = f"{'' if is_turned else 'transposed'}{'' if alpha == 1 else alpha}"
    inputs = [site.activation(0), site.weight(1, "weight", form=form, change=weights)]
    if not site.has(2):
        return site.add(Op.LINEAR, inputs)
    if site.is_activation(2):
        if beta != 1:
            raise Refused("it scales a computed addend by beta", "multiply first, then add")
        product = site.add(Op.LINEAR, inputs, part="product")
        return site.add(Op.ADD, [product, site.activation(2)])
    outputs = site.shape_of(inputs[1])[0]
    inputs.append(
        site.weight(
            2, "bias", form=f"{outputs}{'' if beta == 1 else beta}",
            change=lambda value: _bias(beta * value, outputs),
        )
    )  # fmt: skip
    return site.add(Op.LINEAR, inputs)


def _bias(value: npt.NDArray[np.float64], outputs: int) -> npt.NDArray[np.float64]:
    if value.size not in {1, outputs} or (value.ndim > 1 and value.shape[0] != 1):
        raise Refused(f"its bias has shape {value.shape}; expected {outputs} values")
    return np.broadcast_to(value.reshape(-1), (outputs,)).copy()


def _matmul(site: Site) -> str:
    if site.is_activation(0) and not site.is_activation(1):
        if site.array(1, "weight").ndim == 2:
            weight = site.weight(1, "weight", form="transposed", change=np.transpose)
            return site.add(Op.LINEAR, [site.activation(0), weight])
    elif site.is_activation(0) and len(site.shape(0)) != len(site.shape(1)):
        raise Refused(f"it multiplies activations of shapes {site.shape(0)} and {site.shape(1)}",
                      "give both the same number of axes")  # fmt: skip
    for index in (0, 1):
        rank = len(site.shape(index)) if site.is_activation(index) else site.array(index, "").ndim
        if rank < 2:
            raise Refused("a vector takes part in it", "use Gemm")
    return site.add(Op.MATMUL, [site.operand(0), site.operand(1)])


HANDLERS: Mapping[str, Handler] = {"Gemm": _gemm, "MatMul": _matmul}

"""Pads, resizes, and what rearranges values."""

from __future__ import annotations

from nibblefit_vitis.devices.dpu import Dpu
from nibblefit_vitis.inspection.layer import Layer, Sort
from nibblefit_vitis.inspection.rules.verdict import Fits, Refusal, Verdict

#: Factors of bilinear resizing by coordinates. Source: operator table of Vitis AI's manual.
_FACTORS = {"half_pixel": (2, 4), "asymmetric": (2, 4, 8)}


def pad(layer: Layer, dpu: Dpu) -> Verdict:
    """Judge a pad."""
    mode = layer.facts.get("mode", "constant")
    if mode not in ("constant", "symmetric"):
        return Refusal("vitis.pad", f"mode {mode}: allowed are constant and symmetric",
                       "pad with zeros")  # fmt: skip
    channels = layer.facts.get("channels_in") or 0
    if channels > dpu.most_channels:
        return Refusal("vitis.channels", f"{channels} channels: at most {dpu.most_channels}",
                       "use fewer channels")  # fmt: skip
    return Fits("pad while loading")


def nearest(layer: Layer, dpu: Dpu) -> Verdict:  # noqa: ARG001 - same for all DPUs
    """Judge a nearest resize."""
    factors = layer.facts.get("factors")
    if layer.facts.get("coordinates") == "align_corners":
        return _aligned()
    if factors and any(factor != int(factor) for factor in factors):
        return Refusal("vitis.resize", f"factor {_shown(factors)}: allowed are whole numbers",
                       "enlarge by a whole factor")  # fmt: skip
    return Fits("nearest resize")


def bilinear(layer: Layer, dpu: Dpu) -> Verdict:
    """Judge a bilinear resize: it runs as a transposed depthwise convolution."""
    coordinates, factors = layer.facts.get("coordinates", ""), layer.facts.get("factors")
    if coordinates == "align_corners":
        return _aligned()
    allowed = _FACTORS.get("half_pixel" if "half_pixel" in coordinates else coordinates, ())
    if dpu.depthwise is None:
        return Refusal("vitis.engine", f"bilinear resizing needs depthwise convolutions, which "
                       f"{dpu.name} lacks", "use the nearest value")  # fmt: skip
    if factors and (len(set(factors)) > 1 or factors[0] not in allowed):
        return Refusal(
            "vitis.resize", f"factor {_shown(factors)}, coordinates {coordinates}: allowed are "
            f"{', '.join(map(str, allowed)) or 'none'}, the same in height and width",
            "resize by 2 several times, or use the nearest value",
        )  # fmt: skip
    return Fits("transposed depthwise convolution")


def concat(layer: Layer, dpu: Dpu) -> Verdict:  # noqa: ARG001 - same for all DPUs
    """Judge a concatenation by itself; where its inputs are computed decides as well."""
    return Fits(f"concatenation of {len(layer.inputs)}")


def _aligned() -> Refusal:
    return Refusal("vitis.resize", "aligned corners: not available",
                   "export with align_corners = False")  # fmt: skip


def _shown(factors: tuple[float, ...]) -> str:
    return "×".join(f"{factor:g}" for factor in factors)


#: What no DPU has, with the rewrite that helps. Source: as the package.
NEVER = {
    Sort.MATMUL: ("a product of two computed tensors", "use convolutions"),
    Sort.MEAN: ("a mean over other axes than height and width",
                "use an average pool over height and width"),
    Sort.ELEMENTWISE: ("no engine for it", "use add, multiply, or a rectifier"),
    Sort.SIGMOID: ("no engine for it", ("use hard-sigmoid and retrain (of x · sigmoid(x): set "
                   "convert_silu_to_hswish), or leave it to the end")),
    Sort.SMOOTH: ("no engine for it", "use ReLU or hard-swish and retrain"),
    Sort.SOFTMAX: ("no engine for it", "leave it to the end of the network, on the CPU"),
    Sort.LIVE_NORM: ("its statistics depend on the data", "use batch norm"),
    Sort.RESIZE: ("only nearest and bilinear resizing", "use one of them"),
    Sort.PERMUTE: ("no engine permutes axes", "keep the layout NCHW throughout"),
    Sort.SLICE: ("slices are compiled for the CPU",
                 "select channels with a 1×1 convolution, or slice at the end"),
    Sort.SHUFFLE: ("no rule allows it", "use a transposed convolution"),
    Sort.ARGMAX: ("no engine for it", "leave it to the end of the network, on the CPU"),
}  # fmt: skip

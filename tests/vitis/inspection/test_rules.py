"""Single layers at the limits of the table, one side and the other."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibblefit_vitis.devices.catalogue import dpu_named
from nibblefit_vitis.inspection.layer import Layer, Sort
from nibblefit_vitis.inspection.rules.alone import judged
from nibblefit_vitis.inspection.rules.verdict import Fits, Refusal

SIZES = {"B512": 8, "B1152": 12, "B3136": 14, "B4096": 16}


def layer(sort: Sort, shape: tuple[int, ...] = (8, 64, 64), **facts: Any) -> Layer:
    """Return a layer over one image."""
    return Layer("a", sort, "op", ("x",), ("a",), (shape,), shape, MappingProxyType(facts))


def window(kernel: int, stride: int = 1, **facts: Any) -> dict[str, Any]:
    """Return the facts of a square window; pads and dilations may be given."""
    channels = facts.pop("channels", (8, 8))
    return {"kernel": (kernel, kernel), "strides": (stride, stride), "pads": (0, 0, 0, 0),
            "dilations": (1, 1), "groups": 1, "channels_in": channels[0],
            "channels_out": channels[1], **facts}  # fmt: skip


def reason(one: Layer, dpu: str = "kv260") -> str:
    """Return why a layer is refused, empty if it fits."""
    found = judged(one, dpu_named(dpu))
    return found.reason if isinstance(found, Refusal) else ""


@given(size=st.sampled_from(sorted(SIZES)), kernel=st.integers(1, 18), stride=st.integers(1, 10),
       before=st.sampled_from([1, 3, 16, 100, 600, 2048, 3584, 4096, 4097]),
       after=st.sampled_from([1, 64, 2048, 4096, 4097]), pad=st.integers(0, 20),
       dilation=st.integers(1, 3))  # fmt: skip
def test_convolutions_fit_exactly_within_the_table(  # noqa: PLR0917 - what is drawn
    size: str, kernel: int, stride: int, before: int, after: int, pad: int, dilation: int
) -> None:
    """Kernel 1 to 16, stride 1 to 8, buffer 2048 rows, channels 256 times what runs at once."""
    at_once = SIZES[size]
    rows = kernel * kernel * math.ceil(before / at_once) * math.ceil(at_once / at_once)
    wanted = all((
        1 <= kernel <= 16,
        1 <= stride <= 8,
        rows <= 2048,
        before * dilation <= 256 * at_once,
        after <= 256 * at_once,
        0 <= pad <= (kernel - 1) * dilation,
    ))  # fmt: skip
    one = layer(Sort.CONVOLUTION, **window(kernel, stride, channels=(before, after),
                                           pads=(pad,) * 4, dilations=(dilation,) * 2))  # fmt: skip
    found = judged(one, dpu_named(f"DPUCZDX8G_ISA1_{size}"))
    assert isinstance(found, Fits) == wanted
    if isinstance(found, Refusal):
        assert found.remedy
        assert found.rule.startswith("vitis.")


@given(kernel=st.integers(1, 260), stride=st.integers(1, 260), pad=st.integers(0, 300))
def test_depthwise_convolutions_and_pools_have_the_alus_limits(
    kernel: int, stride: int, pad: int
) -> None:
    """Windows of 256; pads of 15 at left and top, 255 at right and bottom; 2048 rows of weights."""
    shape = (8, 512, 512)
    facts = window(kernel, stride, groups=8)
    fits = kernel <= 256 and stride <= 256
    depthwise = layer(Sort.CONVOLUTION, shape, **facts)
    assert (not reason(depthwise)) == (fits and kernel * kernel <= 2048)
    for sort in (Sort.MAX_POOL, Sort.AVERAGE_POOL):
        assert (not reason(layer(sort, shape, **window(kernel, stride)))) == fits
        early = layer(sort, shape, **window(3, pads=(pad, 0, 0, 0)))
        late = layer(sort, shape, **window(3, pads=(0, 0, 0, pad)))
        assert (not reason(early)) == (pad <= 15)
        assert (not reason(late)) == (pad <= 255)


@given(kernel=st.integers(1, 40), stride=st.integers(1, 10))
def test_transposed_convolutions_run_in_pieces(kernel: int, stride: int) -> None:
    """Kernel // stride in 1 to 16, and one more where it leaves a remainder."""
    part, rest = divmod(kernel, stride)
    wanted = 1 <= part <= 16 and (rest == 0 or part + 1 <= 16)
    assert (not reason(layer(Sort.TRANSPOSED, **window(kernel, stride)))) == wanted


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (layer(Sort.CONVOLUTION, **window(3, stride=9)), "stride 9×9: allowed is 1-8"),
        (layer(Sort.CONVOLUTION, **window(17)), "kernel 17×17: allowed is 1-16"),
        (layer(Sort.CONVOLUTION, **window(16, channels=(256, 8))), ("weights too large for the "
         "parameter buffer: 4096 rows, it has 2048")),
        (layer(Sort.CONVOLUTION, **window(3, groups=2)), "2 groups of 8 channels"),
        (layer(Sort.CONVOLUTION, kernel=(3,), strides=(1,), channels_in=8), "1 spatial axes"),
        (layer(Sort.CONVOLUTION), "weights are not constant"),
        (layer(Sort.TRANSPOSED, **window(3, 2, output_padding=(1, 1))), "output padding 1×1"),
        (layer(Sort.TRANSPOSED, **window(4, 2, groups=2)), "2 groups"),
        (layer(Sort.TRANSPOSED, **window(4, 2, channels=(8, 4097))), "4097 output channels"),
        (layer(Sort.CONVOLUTION, (4097, 8, 8), **window(3, groups=4097, channels=(4097, 4097))),
         "4097 input channels: at most 4096"),
        (layer(Sort.MAX_POOL, **window(3, dilations=(2, 2))), "a pool with dilation"),
        (layer(Sort.MAX_POOL, kernel=(3,)), "1 spatial axes: allowed are 2"),
        (layer(Sort.DENSE, (4097,), channels_in=4097, channels_out=10), "4097 input channels"),
        (layer(Sort.DENSE, (4, 10), channels_in=10, channels_out=10), "last axis of 2 axes"),
        (layer(Sort.DENSE, (4,), computed=True), "computed by another layer"),
        (layer(Sort.SUB), "has no differences of two tensors"),
        (layer(Sort.ADD, constant=(8, 1, 1)), "a sum with a constant"),
        (layer(Sort.MUL, constant=(64, 64)), "a product with a constant"),
        (layer(Sort.PAD, mode="reflect"), "mode reflect: allowed are constant and symmetric"),
        (layer(Sort.PAD, mode="constant", channels_in=4097), "4097 channels: at most 4096"),
        (layer(Sort.NEAREST, factors=(1.5, 1.5)), "factor 1.5×1.5: allowed are whole numbers"),
        (layer(Sort.NEAREST, coordinates="align_corners"), "aligned corners"),
        (layer(Sort.BILINEAR, factors=(8.0, 8.0), coordinates="half_pixel"), "allowed are 2, 4,"),
        (layer(Sort.BILINEAR, factors=(2.0, 4.0), coordinates="half_pixel"), "the same in height"),
        (layer(Sort.BILINEAR, factors=(2.0, 2.0), coordinates="align_corners"), "aligned"),
        (layer(Sort.SOFTMAX), "no engine for it"),
        (layer(Sort.MEAN, axes=(1,)), "other axes than height and width"),
        (layer(Sort.PERMUTE), "no engine permutes axes"),
        (layer(Sort.UNKNOWN), "does not know this operator"),
        (layer(Sort.NORM, (4097, 4, 4)), "4097 channels"),
    ],
)  # fmt: skip
def test_refusals_state_what_was_found_and_allowed(one: Layer, words: str) -> None:
    """Each of the table's limits, broken by one."""
    assert words in reason(one)
    found = judged(one, dpu_named("kv260"))
    assert isinstance(found, Refusal)
    assert found.remedy


@pytest.mark.parametrize(
    "one",
    [
        layer(Sort.CONVOLUTION, (8, 3, 3), **window(3, stride=9)),
        layer(Sort.MUL, constant=(8, 1, 1)),
        layer(Sort.MUL, constant=()),
        layer(Sort.NORM),
        layer(Sort.NEAREST, factors=(2.0, 3.0), coordinates="asymmetric"),
        layer(Sort.BILINEAR, factors=(8.0, 8.0), coordinates="asymmetric"),
        layer(Sort.BILINEAR, factors=(4.0, 4.0), coordinates="pytorch_half_pixel"),
        layer(Sort.PAD, mode="symmetric", channels_in=8),
        layer(Sort.DENSE, (4096,), channels_in=4096, channels_out=10),
        layer(Sort.ADD),
        layer(Sort.MUL),
    ],
)
def test_what_the_table_allows_fits(one: Layer) -> None:
    """A kernel as large as the image may have any stride; factors per channel are depthwise."""
    assert not reason(one)


def test_dpus_differ() -> None:
    """Engines that a DPU lacks, square averages, three axes, and differences."""
    depthwise = layer(Sort.CONVOLUTION, **window(3, groups=8))
    assert "no engine for depthwise" in reason(depthwise, "DPUCAHX8H_ISA2")
    assert not reason(depthwise, "DPUCAHX8H_ISA2_DWC")
    assert "allowed is 1,2,3,5,7" in reason(
        layer(Sort.CONVOLUTION, **window(4, groups=8)), "DPUCAHX8H_ISA2_DWC")  # fmt: skip
    wide = {**window(3), "kernel": (3, 5)}
    assert "averages want a square one" in reason(
        layer(Sort.AVERAGE_POOL, **wide), "DPUCAHX8H_ISA2")  # fmt: skip
    assert not reason(layer(Sort.MAX_POOL, **wide), "DPUCAHX8H_ISA2")
    assert not reason(layer(Sort.AVERAGE_POOL, **wide))
    assert "no engine for average pools" in reason(
        layer(Sort.AVERAGE_POOL, **window(3)), "DPUCZDI4G_ISA0_B4096_DEMO_SSD")  # fmt: skip
    cube = layer(Sort.CONVOLUTION, (8, 4, 4, 4), kernel=(3, 3, 3), strides=(1,) * 3,
                 pads=(0,) * 6, dilations=(1,) * 3, channels_in=8, channels_out=8)  # fmt: skip
    assert "3 spatial axes" in reason(cube)
    assert not reason(cube, "DPUCVDX8G_ISA3_C32B3")
    assert not reason(layer(Sort.SUB), "AMD_AIE2_Nx4_Overlay")
    for sort, facts in ((Sort.NORM, {}), (Sort.BILINEAR, {"factors": (2.0, 2.0)}),
                        (Sort.TRANSPOSED, window(4, 2, groups=8))):  # fmt: skip
        assert "lacks" in reason(layer(sort, **facts), "DPUCAHX8H_ISA2") or "no engine" in reason(
            layer(sort, **facts), "DPUCAHX8H_ISA2")  # fmt: skip
    assert "no products" in reason(layer(Sort.MUL), "DPUCAHX8H_ISA2")
    late = layer(Sort.MAX_POOL, **window(3, pads=(0, 0, 3, 0)))
    assert "allowed is 0 to 2" in reason(late, "DPUCAHX8H_ISA2")

"""Signs of what a product multiplies, traced back to the layers they come from."""

from __future__ import annotations

import pytest
from tests.tidl.networks import Net
from tests.tidl.tables.judged import judged

from nibblefit.ir.ops import Op
from nibblefit_tidl.current.numerics import numerics_of
from nibblefit_tidl.devices import DEVICES
from nibblefit_tidl.tables.judging import Setting, judge


def product(rectify: tuple[bool, bool], *, clip: bool = False, behind: bool = False) -> Net:
    """Return a network that multiplies two maps, each rectified or not."""
    net = Net((4, 4, 4))
    sides = [net.conv(net.x, 4, name) for name in ("a", "b")]
    for place, wanted in enumerate(rectify):
        if wanted:
            sides[place] = net.relu(sides[place])
        elif clip:
            sides[place] = net.add(Op.CLIP, [sides[place]], f"clip{place}", lo=-1.0, hi=1.0)
    moved = net.add(Op.TRANSPOSE, [sides[1]], "moved", perm=(0, 1, 3, 2))
    x = net.add(Op.MATMUL, [sides[0], moved], "product")
    net.x = net.add(Op.RELU, [x], "behind") if behind else x
    return net


@pytest.mark.parametrize(
    ("rectify", "clip", "device", "refused"),
    [
        ((True, True), False, "tda4vm", False),
        ((False, False), False, "tda4vm", False),
        ((True, False), False, "tda4vm", True),
        ((False, True), True, "tda4vm", True),
        ((True, False), False, "am68a", False),
    ],
)
def test_mixed_signs(rectify: tuple[bool, bool], clip: bool, device: str, refused: bool) -> None:
    """TDA4VM multiplies tensors of one signedness; layers that move values do not change it."""
    net = product(rectify, clip=clip)
    found = judged(net.finish(net.x), device)
    assert found.is_refused is refused
    if refused:
        assert "signed by an unsigned" in found.refusal[0]


def test_unsigned_products_of_signed_tensors() -> None:
    """A ReLU behind such a product is refused by the product's name."""
    net = product((False, False), behind=True)
    setting = Setting("current", "am68a", numerics_of(DEVICES["am68a"], 4))
    found = {one.node.name: one for one in judge(net.finish(net.x), setting)}
    assert "'behind'" in found["product"].refusal[0]
    allowed = product((True, False), behind=True)
    assert not any(one.is_refused for one in judge(allowed.finish(allowed.x), setting))

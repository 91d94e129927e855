"""Proving a capture without computing convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Graph
from nibblefit.nn.capture import capture
from nibblefit.nn.capture import entry as capture_entry
from nibblefit.nn.capture.proof import prove_equal
from nibblefit.nn.capture.stand_ins import StandIns

Arguments = dict[str, object]


def arguments() -> Arguments:
    """Return a convolution in two groups with all settings away from their defaults."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return {"input": draw(2, 4, 9, 8), "weight": draw(6, 2, 3, 3), "bias": draw(6), "stride": 2,
            "padding": (1, 2), "dilation": 1, "groups": 2}  # fmt: skip


def stand_in(values: Arguments) -> Tensor:
    """Return what stands in for the convolution."""
    with StandIns(lambda _: True):
        found: Tensor = torch.conv2d(**values)  # type: ignore[call-overload]
    return found


def test_the_stand_in_has_the_shape_of_the_convolution() -> None:
    """Sizes follow stride, padding and dilation, and the real function is left alone outside."""
    values = arguments()
    assert stand_in(values).shape == torch.conv2d(**values).shape  # type: ignore[call-overload]
    assert not torch.equal(stand_in(values), torch.conv2d(**values))  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["input", "weight", "bias"])
def test_every_value_takes_part(name: str) -> None:
    """Changing any single number changes the result of its sample or filter."""
    before = stand_in(arguments())
    count = arguments()[name].numel()  # type: ignore[attr-defined]
    for index in range(count):
        values = arguments()
        values[name].flatten()[index] += 0.5  # type: ignore[attr-defined]
        change = (stand_in(values) - before).abs().max()
        assert float(change) > 1e-6, (name, index)


@pytest.mark.parametrize(
    "changed", [{"padding": (2, 1)}, {"stride": (2, 1)}, {"dilation": 2}, {"groups": 1}]
)
def test_every_setting_takes_part(changed: Arguments) -> None:
    """Another setting gives other numbers, also where the shape stays the same."""
    values = {**arguments(), "input": torch.ones(2, 4, 9, 9, dtype=torch.float64)}
    other = {**values, **changed}
    if "groups" in changed:
        other["weight"] = torch.cat([values["weight"]] * 2, dim=1)  # type: ignore[list-item]
    one, two = stand_in(values), stand_in(other)
    assert one.shape != two.shape or not torch.allclose(one, two, rtol=1e-6)


def test_the_sign_of_all_weights_takes_part() -> None:
    """Two factors of the stand-in come from the weights; their signs do not cancel."""
    values = {**arguments(), "bias": None}
    negated = {**values, "weight": -values["weight"]}  # type: ignore[operator]
    one, two = stand_in(values), stand_in(negated)
    assert float((one - two).abs().max()) > 0.1 * float(one.abs().max())


def test_a_normalization_over_channels_does_not_hide_the_input() -> None:
    """Channels are no multiples of each other, so scaling a place's channels does not cancel."""
    values = {**arguments(), "bias": None, "groups": 1, "stride": 1, "padding": 0}
    values["weight"] = torch.cat([arguments()["weight"]] * 2, dim=1)  # type: ignore[list-item]
    before = nn.functional.normalize(stand_in(values), dim=1)
    values["input"][0, 1, 4, 4] += 1e-3  # type: ignore[index]
    after = nn.functional.normalize(stand_in(values), dim=1)
    assert float((after - before)[0].abs().max()) > 1e-6


def test_weights_that_are_all_zero_leave_the_bias() -> None:
    """As in the convolution itself, and without a division by zero."""
    values = {**arguments(), "weight": torch.zeros(6, 2, 3, 3, dtype=torch.float64)}
    bias: Tensor = values["bias"]  # type: ignore[assignment]
    assert torch.equal(stand_in(values), torch.conv2d(**values))  # type: ignore[call-overload]
    assert torch.equal(stand_in(values)[0, :, 0, 0], bias)


def test_other_widths_are_left_alone() -> None:
    """A convolution in float32 computes itself."""
    values = {
        name: value.float() if isinstance(value, Tensor) else value
        for name, value in arguments().items()
    }
    assert torch.equal(stand_in(values), torch.conv2d(**values))  # type: ignore[call-overload]


class SameSize(nn.Module):
    """A convolution that pads by a word."""

    def __init__(self, taps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, taps, taps))

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution with padding 'same', which the graph writes as numbers."""
        return torch.nn.functional.conv2d(x, self.weight, padding="same")


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count how often a graph is proved."""
    calls: list[int] = []

    def prove(
        graph: Graph, inputs: Sequence[Tensor], expected: Sequence[Tensor],
        taken_over: Mapping[str, Tensor],
    ) -> None:  # fmt: skip
        calls.append(1)
        prove_equal(graph, inputs, expected, taken_over)

    monkeypatch.setattr(capture_entry, "prove_equal", prove)
    return calls


def test_real_convolutions_decide_where_the_stand_in_differs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One proof for plain settings; three where the graph needs more than a convolution."""
    calls = counted(monkeypatch)
    capture(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()), (3, 8, 8))
    assert len(calls) == 1
    capture(SameSize(3), (3, 8, 8))
    assert len(calls) == 2
    capture(SameSize(4), (3, 8, 8))  # pads the end by one more than the begin
    assert len(calls) == 5


class Wrong(nn.Module):
    """Scales its weights after the recording."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution, one weight larger with every call."""
        self.calls += 1
        with torch.no_grad():
            self.conv.weight[1, 2, 0, 1] *= self.calls
        y: Tensor = self.conv(x)
        return y


def test_a_difference_inside_a_convolution_is_found() -> None:
    """A weight that changes between two calls does not pass."""
    with pytest.raises(UnsupportedError, match="differs from the captured graph"):
        capture(Wrong(), (3, 8, 8))

"""JDetNet: TI's single-shot detector on the base of JacintoNet11."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from nibblefit.errors import InputError
from nibblefit_tidl.zoo.blocks import conv_bn_relu
from nibblefit_tidl.zoo.jacintonet import IMAGENET_STRIDES, JacintoNet11Base

Layout = Literal["768x320", "512x512"]

#: Stage (0 to 4) whose output feeds the first head; boxes per cell of each head; kernel of the
#: score layers. From TI's published deploy files (caffe-jacinto-models 0.17).
_LAYOUTS: dict[Layout, tuple[int, tuple[int, ...], int]] = {
    "768x320": (3, (4, 6, 6, 6, 4), 1),
    "512x512": (2, (4, 6, 6, 6, 4, 4), 3),
}
_CONTEXT = 256


class JDetNet(nn.Module):
    """Base, a chain of pools, and a head of two convolutions on each of two or more maps.

    Joined, it returns locations (batch, boxes · 4) and scores (batch, boxes · classes) in SSD's
    order: head after head, row after row, box after box, the classes of a box together. Else it
    returns every head's two maps, all locations first, as core's detection task reads them.

    Args:
        classes: With the background, which comes first.
        layout: Which maps have heads, and how many boxes a cell has.
        channels: Of the picture.
        width: Channels of the first stage; heads have eight times as many.
        offset: Added to every pixel first.
        strides: Of the first convolution and of the four pools; see `JacintoNet11Base`.
        boxes: Boxes per cell, head by head, in place of the layout's: the first two heads are on
            the base, each further one behind a pool. Small pictures have room for fewer.
        joined: Whether heads end in one list of locations and one of scores.

    Raises:
        InputError: Unknown layout, or fewer than two heads.
    """

    def __init__(
        self,
        classes: int = 21,
        layout: Layout = "768x320",
        channels: int = 3,
        width: int = 32,
        offset: float = -128.0,
        *,
        strides: Sequence[int] = IMAGENET_STRIDES,
        boxes: Sequence[int] = (),
        joined: bool = True,
    ) -> None:
        super().__init__()
        if layout not in _LAYOUTS:
            raise InputError(f"layout is {layout!r}; expected one of {', '.join(_LAYOUTS)}")
        self._first, usual, kernel = _LAYOUTS[layout]
        self.boxes = tuple(boxes) or usual
        if len(self.boxes) < 2 or min(self.boxes) < 1:
            raise InputError(
                f"boxes of JDetNet are {self.boxes}; expected two or more numbers above 0",
                hint="one per head: two on the base, one behind each pool",
            )
        self._joined = joined
        self.base = JacintoNet11Base(channels, width, strides, 1, offset)
        pools = len(self.boxes) - 2
        self.pools = nn.ModuleList(nn.MaxPool2d(2, 2, ceil_mode=True) for _ in range(pools))
        context = _CONTEXT * width // 32
        last = self.base.widths[4]
        sources = (self.base.widths[self._first], *(last,) * (pools + 1))
        self.ctx = nn.ModuleList(conv_bn_relu(inputs, context, 1) for inputs in sources)
        self.loc = nn.ModuleList(_scores(context, 4 * b, kernel) for b in self.boxes)
        self.conf = nn.ModuleList(_scores(context, classes * b, kernel) for b in self.boxes)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return locations and scores."""
        stages = self.base.stages(x)
        maps = [stages[self._first], stages[4]]
        for pool in self.pools:
            maps.append(pool(maps[-1]))
        heads = [context(each) for context, each in zip(self.ctx, maps, strict=True)]
        locations, scores = _maps(self.loc, heads), _maps(self.conf, heads)
        if self._joined:
            return _listed(locations), _listed(scores)
        return (*locations, *scores)


def _scores(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    return convolution


def _maps(layers: nn.ModuleList, maps: Sequence[Tensor]) -> list[Tensor]:
    return [layer(each) for layer, each in zip(layers, maps, strict=True)]


def _listed(maps: Sequence[Tensor]) -> Tensor:
    parts = [torch.flatten(each.permute(0, 2, 3, 1), 1) for each in maps]
    return torch.cat(parts, dim=1)


def jdetnet(
    classes: int = 21,
    layout: Layout = "768x320",
    channels: int = 3,
    width: int = 32,
    offset: float = -128.0,
    *,
    strides: Sequence[int] = IMAGENET_STRIDES,
    boxes: Sequence[int] = (),
    joined: bool = True,
) -> JDetNet:
    """Return JDetNet as published for VOC (2130.05 MMAC at 768 × 320, 3360.09 at 512 × 512).

    See `JDetNet` for the arguments; narrower, with other strides and fewer heads, it fits small
    pictures.
    """
    return JDetNet(
        classes, layout, channels, width, offset, strides=strides, boxes=boxes, joined=joined
    )

"""SSD on a ResNet-18 with a projection at every shortcut, as TAO builds it.

Source: tao_tensorflow1_backend, SSD with ResNet-18 (commit 2ec95cbb): no pooling after the first
convolution, strides 2, 2, 2, 1 over the stages, convolutions without bias before batch norm. Every
block of a stage having a projection keeps groups of coupled layers small, which is what makes this
network prune well.
"""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

#: Channels and first stride of the stages.
STAGES = ((64, 2), (128, 2), (256, 2), (512, 1))
#: Channels of the narrow and of the wide convolution, and the stride, of each extra level.
LEVELS = ((256, 256, 1), (128, 256, 2), (64, 128, 2), (64, 128, 2), (64, 128, 2))


class Block(nn.Module):
    """Two 3x3 convolutions beside a 1x1 projection."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.bn_1 = nn.BatchNorm2d(out)
        self.conv_2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn_2 = nn.BatchNorm2d(out)
        self.conv_shortcut = nn.Conv2d(into, out, 1, stride, bias=False)
        self.bn_shortcut = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both ways, rectified."""
        y = F.relu(self.bn_1(self.conv_1(x)))
        return F.relu(self.bn_2(self.conv_2(y)) + self.bn_shortcut(self.conv_shortcut(x)))


class Backbone(nn.Module):
    """First convolution and four stages of two blocks."""

    def __init__(self, channels: int, widths: list[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, widths[0], 7, 2, 3, bias=False)
        self.bn_conv1 = nn.BatchNorm2d(widths[0])
        into = widths[0]
        for number, (out, (_, stride)) in enumerate(zip(widths, STAGES, strict=True), start=1):
            self.add_module(f"block_{number}a", Block(into, out, stride))
            self.add_module(f"block_{number}b", Block(out, out, 1))
            into = out

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of the second and of the last stage."""
        x = F.relu(self.bn_conv1(self.conv1(x)))
        second = x
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"block_{number}b")(self.get_submodule(f"block_{number}a")(x))
            second = x if number == 2 else second
        return second, x


class SsdResNet18(nn.Module):
    """A single-shot detector; see `nibblefit.tasks.detection` for what its outputs mean.

    Args:
        classes: Number of classes without background.
        anchors: Anchors per place, of all levels or of each.
        width: Factor on all channels of backbone and extra levels; results are multiples of 8.
        levels: How many feature maps are looked at, 1 to 6; small pictures need fewer.
        channels: Channels of the picture.
    """

    def __init__(
        self, classes: int = 3, anchors: int | tuple[int, ...] = 6, *, width: float = 1.0,
        levels: int = 6, channels: int = 3,
    ) -> None:  # fmt: skip
        super().__init__()
        counts = (anchors,) * levels if isinstance(anchors, int) else tuple(anchors)
        if not 1 <= levels <= len(LEVELS) + 1 or len(counts) != levels:
            raise ValueError(f"levels is {levels} with {len(counts)} counts of anchors; expected "
                             f"1 to {len(LEVELS) + 1}, and a count for each")  # fmt: skip
        widths = [_scaled(out, width) for out, _ in STAGES]
        self.backbone = Backbone(channels, widths)
        seen, into = [widths[1]], widths[-1]
        for number, (narrow, wide, stride) in enumerate(LEVELS[: levels - 1], start=1):
            out = _scaled(wide, width)
            self.add_module(f"ssd_expand_block_{number}",
                            _level(into, _scaled(narrow, width), out, stride))  # fmt: skip
            seen.append(out)
            into = out
        for number, (size, count) in enumerate(zip(seen, counts, strict=True)):
            self.add_module(f"ssd_loc_{number}", nn.Conv2d(size, 4 * count, 3, padding=1))
            self.add_module(
                f"ssd_conf_{number}", nn.Conv2d(size, (classes + 1) * count, 3, padding=1)
            )
        self.levels = levels
        self.apply(_initialize)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return locations and class scores of each level, one after the other."""
        second, x = self.backbone(x)
        maps = [second]
        for number in range(1, self.levels):
            x = self.get_submodule(f"ssd_expand_block_{number}")(x)
            maps.append(x)
        return tuple(
            self.get_submodule(f"ssd_{kind}_{number}")(one)
            for number, one in enumerate(maps)
            for kind in ("loc", "conf")
        )


def _level(into: int, narrow: int, wide: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv_0=nn.Conv2d(into, narrow, 1),
            relu_0=nn.ReLU(),
            conv_1=nn.Conv2d(narrow, wide, 3, stride, 1, bias=False),
            bn_1=nn.BatchNorm2d(wide),
            relu_1=nn.ReLU(),
        )
    )


def _scaled(channels: int, width: float) -> int:
    return max(8, round(channels * width / 8) * 8)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

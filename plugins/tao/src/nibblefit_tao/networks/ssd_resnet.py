"""SSD on a ResNet-18 with a projection at every shortcut, as TAO builds it.

Source: tao_tensorflow1_backend, SSD with ResNet-18 (commit 2ec95cbb): no pooling after the first
convolution, strides 2, 2, 2, 1 over the stages, convolutions without bias before batch norm. Every
block of a stage having a projection keeps groups of coupled layers small, which is what makes this
network prune well.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from nibblefit_tao.networks.backbone import STRIDES, Backbone, initialize, scaled

#: Channels of the narrow and of the wide convolution, and the stride, of each extra level.
LEVELS = ((256, 256, 1), (128, 256, 2), (64, 128, 2), (64, 128, 2), (64, 128, 2))


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
        self.backbone = Backbone(channels, width, strides=STRIDES)
        seen, into = [self.backbone.widths[1]], self.backbone.widths[-1]
        for number, (narrow, wide, stride) in enumerate(LEVELS[: levels - 1], start=1):
            out = scaled(wide, width)
            self.add_module(f"ssd_expand_block_{number}",
                            _level(into, scaled(narrow, width), out, stride))  # fmt: skip
            seen.append(out)
            into = out
        for number, (size, count) in enumerate(zip(seen, counts, strict=True)):
            self.add_module(f"ssd_loc_{number}", nn.Conv2d(size, 4 * count, 3, padding=1))
            self.add_module(
                f"ssd_conf_{number}", nn.Conv2d(size, (classes + 1) * count, 3, padding=1)
            )
        self.levels = levels
        self.apply(initialize)

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

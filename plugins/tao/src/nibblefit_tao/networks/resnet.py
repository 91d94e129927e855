"""ResNet-18 for classification, as TAO builds it."""

from __future__ import annotations

from torch import Tensor, nn

from nibblefit_tao.networks.backbone import CLASSIFIER_STRIDES, Backbone, initialize


class ResNet18(nn.Module):
    """Class scores of a picture.

    Args:
        classes: Number of classes.
        width: Factor on all channels; results are multiples of 8.
        all_projections: A 1x1 convolution at every shortcut, so that more filters can go.
        pooling: Max pooling after the first convolution; small pictures do without.
        channels: Channels of the picture.
    """

    def __init__(self, classes: int, width: float = 1.0, *, all_projections: bool = True,
                 pooling: bool = True, channels: int = 3) -> None:  # fmt: skip
        super().__init__()
        self.backbone = Backbone(channels, width, CLASSIFIER_STRIDES,
                                 projections=all_projections, pooling=pooling)  # fmt: skip
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.predictions = nn.Linear(self.backbone.widths[-1], classes)
        self.apply(initialize)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores, (batch, classes)."""
        scores: Tensor = self.predictions(self.pool(self.backbone(x)[1]).flatten(1))
        return scores

"""JSegNet21: TI's segmenter on the base of JacintoNet11."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nibblefit_tidl.zoo.blocks import MOMENTUM, averaging, conv_bn_relu
from nibblefit_tidl.zoo.jacintonet import JacintoNet11Base

#: The last stage keeps 1/16 of the size and sees further by dilation.
_STRIDES, _DILATION = (2, 2, 2, 2, 1), 2
_CONTEXT = 64


class JSegNet21(nn.Module):
    """Seventeen convolutions and four fixed bilinear upsamplings, 21 layers.

    Args:
        classes: Channels of the output; TI's five-class network has eight.
        channels: Of the picture.
        width: Channels of the first stage and half those of the head.
        offset: Added to every pixel first.
        decide: Return the class of every pixel instead of the scores, as the deployed network.
    """

    def __init__(
        self,
        classes: int = 8,
        channels: int = 3,
        width: int = 32,
        offset: float = -128.0,
        *,
        decide: bool = False,
    ) -> None:
        super().__init__()
        self.base = JacintoNet11Base(channels, width, _STRIDES, _DILATION, offset)
        context = _CONTEXT * width // 32
        self.out5a = conv_bn_relu(self.base.widths[4], context, groups=2, dilation=4)
        self.out5a_up2 = doubling(context)
        self.out3a = conv_bn_relu(self.base.widths[2], context, groups=2)
        self.ctx_conv1 = conv_bn_relu(context, context)
        self.ctx_conv2 = conv_bn_relu(context, context, dilation=4)
        self.ctx_conv3 = conv_bn_relu(context, context, dilation=4)
        self.ctx_conv4 = conv_bn_relu(context, context, dilation=4)
        self.ctx_final = nn.Conv2d(context, classes, 3, padding=1)
        nn.init.kaiming_normal_(self.ctx_final.weight, nonlinearity="relu")
        nn.init.zeros_(self.ctx_final.bias)  # type: ignore[arg-type]
        self.final_relu = nn.ReLU()
        self.up2, self.up4, self.up8 = (doubling(classes) for _ in range(3))
        self._decide = decide

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (batch, classes, height, width), or the class of every pixel."""
        stages = self.base.stages(x)
        joined = self.out5a_up2(self.out5a(stages[4])) + self.out3a(stages[2])
        context = self.ctx_conv4(self.ctx_conv3(self.ctx_conv2(self.ctx_conv1(joined))))
        scores: Tensor = self.up8(self.up4(self.up2(self.final_relu(self.ctx_final(context)))))
        return torch.argmax(scores, dim=1, keepdim=True) if self._decide else scores


def doubling(channels: int) -> nn.ConvTranspose2d:
    """Return a frozen bilinear upsampling by two, one group per channel.

    Weights are Caffe's bilinear filler for a kernel of 4: taps 1/4, 3/4, 3/4, 1/4.
    """
    layer = nn.ConvTranspose2d(channels, channels, 4, 2, padding=1, groups=channels, bias=False)
    taps = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        layer.weight.copy_(torch.outer(taps, taps).expand_as(layer.weight))
    layer.weight.requires_grad_(False)
    return layer


def jsegnet21(
    classes: int = 8,
    channels: int = 3,
    width: int = 32,
    offset: float = -128.0,
    decide: bool = False,
    *,
    statistics: float = MOMENTUM,
) -> JSegNet21:
    """Return JSegNet21 v2 (8808.04 MMAC at 1024 × 512); sizes are multiples of 16.

    `statistics` is the share of a batch in the running statistics of batch norm; short trainings
    want 0.1, see `nibblefit_tidl.zoo.blocks.averaging`. The rest is as in `JSegNet21`.
    """
    network = JSegNet21(classes, channels, width, offset, decide=decide)
    return averaging(network, statistics)

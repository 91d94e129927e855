"""Small networks built like well-known ones, layer by layer as their authors write them."""

# Written in the style of their models.
# ruff: noqa: N812, PLR0917

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn


class ConvNormActivation(nn.Sequential):
    def __init__(self, i, o, k=3, stride=1, groups=1, activation=nn.ReLU6):
        layers = [
            nn.Conv2d(i, o, k, stride, (k - 1) // 2, groups=groups, bias=False),
            nn.BatchNorm2d(o),
        ]
        if activation is not None:
            layers.append(activation(inplace=True))
        super().__init__(*layers)


class InvertedResidual(nn.Module):
    def __init__(self, i, o, stride, expand):
        super().__init__()
        self.use_res_connect = stride == 1 and i == o
        hidden = i * expand
        self.conv = nn.Sequential(
            ConvNormActivation(i, hidden, 1),
            ConvNormActivation(hidden, hidden, stride=stride, groups=hidden),
            nn.Conv2d(hidden, o, 1, bias=False),
            nn.BatchNorm2d(o),
        )

    def forward(self, x):
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class DenseLayer(nn.Module):
    def __init__(self, i, growth):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(i)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(i, 2 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(2 * growth)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(2 * growth, growth, 3, padding=1, bias=False)
        self.drop_rate = 0.2

    def forward(self, features):
        joined = torch.cat(features, 1)
        new = self.conv2(self.relu2(self.norm2(self.conv1(self.relu1(self.norm1(joined))))))
        if self.drop_rate > 0:
            new = F.dropout(new, p=self.drop_rate, training=self.training)
        return new


class DenseBlock(nn.ModuleDict):
    def __init__(self, i, growth, layers):
        super().__init__(
            {f"denselayer{n}": DenseLayer(i + n * growth, growth) for n in range(layers)}
        )

    def forward(self, x):
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features, 1)


class ShuffleUnit(nn.Module):
    def __init__(self, c):
        super().__init__()
        h = c // 2
        self.branch2 = nn.Sequential(
            nn.Conv2d(h, h, 1, bias=False),
            nn.BatchNorm2d(h),
            nn.ReLU(inplace=True),
            nn.Conv2d(h, h, 3, 1, 1, groups=h, bias=False),
            nn.BatchNorm2d(h),
        )

    def forward(self, x):
        x1, x2 = x.chunk(2, dim=1)
        out = torch.cat((x1, self.branch2(x2)), dim=1)
        batchsize, num_channels, height, width = out.size()
        out = out.view(batchsize, 2, num_channels // 2, height, width)
        out = torch.transpose(out, 1, 2).contiguous()
        return out.view(batchsize, num_channels, height, width)


class Fire(nn.Module):
    def __init__(self, i, s, e):
        super().__init__()
        self.squeeze, self.act = nn.Conv2d(i, s, 1), nn.ReLU(inplace=True)
        self.expand1x1, self.expand3x3 = nn.Conv2d(s, e, 1), nn.Conv2d(s, e, 3, padding=1)

    def forward(self, x):
        x = self.act(self.squeeze(x))
        return torch.cat([self.act(self.expand1x1(x)), self.act(self.expand3x3(x))], 1)


class SqueezeExcitation(nn.Module):
    def __init__(self, c, s, gate=nn.Sigmoid):
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(c, s, 1), nn.Conv2d(s, c, 1)
        self.activation, self.scale_activation = nn.SiLU(inplace=True), gate()

    def forward(self, x):
        scale = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))
        return scale * x


class Ssd(nn.Module):
    def __init__(self, classes=3, anchors=2):
        super().__init__()
        self.classes = classes
        self.body = nn.ModuleList(
            [
                ConvNormActivation(3, 8, stride=2, activation=nn.ReLU),
                ConvNormActivation(8, 16, stride=2, activation=nn.ReLU),
            ]
        )
        self.boxes = nn.ModuleList(nn.Conv2d(c, anchors * 4, 3, padding=1) for c in (8, 16))
        self.scores = nn.ModuleList(nn.Conv2d(c, anchors * classes, 1) for c in (8, 16))

    def forward(self, x):
        boxes, scores = [], []
        for level, layer in enumerate(self.body):
            x = layer(x)
            boxes.append(self.boxes[level](x).permute(0, 2, 3, 1).reshape(x.size(0), -1, 4))
            found = self.scores[level](x).permute(0, 2, 3, 1).contiguous()
            scores.append(found.view(found.shape[0], -1, self.classes))
        return OrderedDict(boxes=torch.cat(boxes, 1), scores=F.softmax(torch.cat(scores, 1), -1))


class PreNorm(nn.Module):
    """Batch norm before an unpadded convolution, before a padded one, and behind linear layers."""

    def __init__(self):
        super().__init__()
        self.a, self.conv_a = nn.BatchNorm2d(3, eps=1e-3, momentum=0.01), nn.Conv2d(3, 6, 3)
        self.b, self.conv_b = nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, padding=1, groups=3)
        self.up, self.c = nn.ConvTranspose2d(6, 4, 2, 2, groups=2), nn.BatchNorm2d(4)
        self.fc, self.d = nn.Linear(4 * 196, 8), nn.BatchNorm1d(8)
        self.plain = nn.BatchNorm1d(8, affine=False)
        self.last = nn.Linear(8, 2)

    def forward(self, x):
        x = self.conv_b(self.b(F.relu(self.conv_a(self.a(x)))))
        x = self.c(self.up(F.max_pool2d(x, 2))).flatten(1)
        return self.last(self.plain(F.relu(self.d(self.fc(x)))))


class Tokens(nn.Module):
    """A mixer over patches: convolution to tokens, linear layers on both axes."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.position = nn.Parameter(torch.randn(1, 16, 8))
        self.mix, self.channel = nn.Linear(16, 16), nn.Linear(8, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2) + self.position
        x = x + F.hardswish(self.mix(x.transpose(1, 2))).transpose(1, 2)
        x = x + F.relu(self.channel(x))
        return self.head(x.mean(dim=1))


def with_head(body, channels, classes=5):
    return nn.Sequential(
        body,
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(1),
        nn.Dropout(0.2),
        nn.Linear(channels, classes),
    )


LOOKALIKES = {
    "mobilenet_v2": lambda: with_head(
        nn.Sequential(ConvNormActivation(3, 8, stride=2), InvertedResidual(8, 8, 1, 2),
                      InvertedResidual(8, 12, 2, 3)), 12),
    "densenet": lambda: with_head(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1),
                                                DenseBlock(8, 4, 3), nn.AvgPool2d(2)), 20),
    "shufflenet": lambda: with_head(
        nn.Sequential(ConvNormActivation(3, 8, stride=2), ShuffleUnit(8), ShuffleUnit(8)), 8),
    "squeezenet": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(8, 4, 6), nn.Dropout(), nn.Conv2d(12, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "efficientnet": lambda: with_head(
        nn.Sequential(ConvNormActivation(3, 8, activation=nn.SiLU), SqueezeExcitation(8, 2),
                      ConvNormActivation(8, 8, 5, groups=8, activation=nn.Hardswish),
                      SqueezeExcitation(8, 4, nn.Hardsigmoid)), 8),
    "ssd": Ssd,
    "prenorm": PreNorm,
    "tokens": Tokens,
    "vgg": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2, 2),
        nn.AdaptiveAvgPool2d((4, 4)), nn.Flatten(), nn.Linear(128, 16), nn.PReLU(16),
        nn.Dropout(), nn.Linear(16, 5)),
}  # fmt: skip
INPUT_SHAPE = (3, 16, 16)


def build(name, seed=1):
    """Return one network in evaluation mode, its batch norms with uneven statistics."""
    torch.manual_seed(seed)
    module = LOOKALIKES[name]().train()
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 2)
                if layer.affine:
                    layer.weight.uniform_(-1.5, 1.5)
                    layer.bias.normal_()
    return module.eval()

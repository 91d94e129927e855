"""ResNet-18: its published size, and its forms for small pictures."""

from __future__ import annotations

import pytest
import torch

from nibblefit.defaults.summary import summary_table
from nibblefit.nn.capture import capture
from nibblefit_vitis.networks.resnet import ResNet18


@pytest.mark.parametrize(("classes", "parameters"), [(1000, 11_689_512), (30, 11_191_902)])
def test_parameters_are_those_of_the_published_network(classes: int, parameters: int) -> None:
    """The module and the summary of its graph count the same, published number."""
    network = ResNet18(classes)
    assert sum(tensor.numel() for tensor in network.parameters()) == parameters
    table = summary_table(capture(network.eval(), (3, 224, 224)))
    assert table.rows[-1] == ("total", "", "", parameters)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["backbone.conv"] == ("conv", "64 × 112 × 112", 7 * 7 * 3 * 64)
    assert rows["backbone.bn"] == ("batch_norm", "64 × 112 × 112", 2 * 64)
    assert rows["backbone.stage4.1.conv2"] == ("conv", "512 × 7 × 7", 9 * 512 * 512)
    assert rows["head"] == ("linear", str(classes), 512 * classes + classes)


def test_small_pictures_keep_their_size_until_the_second_stage() -> None:
    """With `small_input` a 32x32 picture is halved three times, to 4x4; `width` scales channels."""
    network = ResNet18(10, channels=1, width=0.25, small_input=True).eval()
    picture = torch.zeros(2, 1, 32, 32)
    assert network.backbone.stage1(network.backbone.relu(network.backbone.conv(picture))).shape == (
        2, 16, 32, 32,
    )  # fmt: skip
    assert network.backbone(picture).shape == (2, 128, 4, 4)
    assert network(picture).shape == (2, 10)

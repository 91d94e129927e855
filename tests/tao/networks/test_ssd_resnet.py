"""The detector as TAO builds it: sizes of the reference sheet."""

from __future__ import annotations

import pytest
import torch

from nibblefit.nn.capture.entry import capture
from nibblefit_tao.networks.ssd_resnet import SsdResNet18

MIB = 2**20


def test_parameters_and_bytes_are_the_published_ones() -> None:
    """13,278,368 trainable parameters and 13,291,808 with statistics: 50.7 MiB, 101.36 trained.

    A training checkpoint holds momentum for everything that is trained.
    """
    network = SsdResNet18(3)
    trained = sum(p.numel() for p in network.parameters())
    buffers = sum(b.numel() for n, b in network.named_buffers() if "num_batches" not in n)
    assert trained == 13_278_368
    assert trained + buffers == 13_291_808
    assert round(4 * (trained + buffers) / MIB, 1) == 50.7
    assert round(4 * (2 * trained + buffers) / MIB, 2) == 101.36


def test_maps_have_the_published_sizes() -> None:
    """300 x 300 pixels give maps of 38, 19, 10, 5, 3 and 2 places a side, 11,658 anchors."""
    with torch.no_grad():
        outputs = SsdResNet18(3).eval()(torch.zeros(1, 3, 300, 300))
    assert [o.shape[-1] for o in outputs[::2]] == [38, 19, 10, 5, 3, 2]
    assert sum(o.shape[1] // 4 * o.shape[2] * o.shape[3] for o in outputs[::2]) == 11_658
    assert [o.shape[1] for o in outputs] == [24, 24] * 6


def test_a_narrow_one_for_small_pictures_is_captured() -> None:
    """Width, levels and anchors per level shrink; the graph keeps TAO's names."""
    network = SsdResNet18(2, (4, 6, 6), width=0.25, levels=3)
    graph = capture(network.eval(), (3, 96, 128))
    assert {"ssd_conf_0", "ssd_loc_2", "backbone.block_2a.conv_shortcut"} <= {
        node.name for node in graph.nodes
    }
    assert [graph.shapes[name] for name in graph.outputs][-1] == (18, 3, 4)


def test_counts_that_do_not_fit_are_refused() -> None:
    """As many counts of anchors as levels."""
    with pytest.raises(ValueError, match="levels is 6 with 2 counts"):
        SsdResNet18(3, (4, 6))

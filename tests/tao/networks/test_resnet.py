"""The classifier: couplings with and without projections."""

from __future__ import annotations

import torch

from nibblefit.nn.capture.entry import capture
from nibblefit.pruning.coupling import couple
from nibblefit_tao.networks.resnet import ResNet18


def test_projections_everywhere_keep_groups_small() -> None:
    """Identity shortcuts join a whole stage; projections leave one group for each block."""
    sizes = {}
    for projections in (True, False):
        torch.manual_seed(0)
        network = ResNet18(10, 0.25, all_projections=projections, pooling=False).eval()
        coupling = couple(capture(network, (3, 32, 32)))
        sizes[projections] = max(len(group.members) for group in coupling.groups)
        with torch.no_grad():
            assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert sizes == {True: 2, False: 3}


def test_the_published_size_of_resnet_18() -> None:
    """11,689,512 parameters with 1,000 classes where shapes alone ask for projections."""
    network = ResNet18(1000, all_projections=False)
    assert sum(p.numel() for p in network.parameters()) == 11_689_512

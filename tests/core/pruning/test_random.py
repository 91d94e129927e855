"""Random networks, cut anywhere."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.core.pruning.random_networks import networks
from tests.core.pruning.test_cutting import assert_equal_outputs, random_cut

from nibblefit.ir.graph import Graph
from nibblefit.pruning.coupling import couple


@given(networks(), st.integers(0, 1000))
def test_any_network_can_be_cut(graph: Graph, seed: int) -> None:
    """Whatever meets whatever: a cut network equals the masked one, and none is refused."""
    coupling = couple(graph)
    if not coupling.groups:
        return
    rng = np.random.default_rng(seed)
    what = random_cut(coupling, rng)
    if not what.empty():
        x = torch.randn(2, 3, 6, 6, dtype=torch.float64, generator=torch.manual_seed(seed))
        assert_equal_outputs(what, x)

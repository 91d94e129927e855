"""Networks that users bring, from module to smaller module and ONNX file and back from a plan."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tao.pruning.everyday_networks import EVERYDAY, SHAPE, everyday

from nibblefit.nn.capture import capture
from nibblefit.nn.network import Network
from nibblefit.nn.onnx_export.entry import to_onnx
from nibblefit.pruning.coupling import couple
from nibblefit.pruning.cutting import masked
from nibblefit_tao.pruning.module import prune_module, reload
from nibblefit_tao.pruning.plan import read_plan, write_plan
from nibblefit_tao.pruning.settings import PruneSettings

ROOT = Path(__file__).resolve().parents[3]
FINE = PruneSettings(granularity=4, min_filters=4, transposed=True)
#: The bound that pruned outputs keep to the masked network's.
RELATIVE = 1e-5


def picture() -> torch.Tensor:
    """Return a seeded input."""
    return torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(1))


def assert_close(ours: Iterable[object], theirs: Iterable[object]) -> None:
    """Two lists of outputs agree to `RELATIVE` of each output's largest value."""
    for one, other in zip(map(np.asarray, ours), map(np.asarray, theirs), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0, atol=RELATIVE * np.abs(other).max())


@pytest.mark.parametrize("name", EVERYDAY)
def test_usual_networks_shrink_and_compute_what_the_masked_ones_do(name: str) -> None:
    """A third of the weights goes; module, masked module and ONNX file agree."""
    network, x = everyday(name), picture()
    pruned = prune_module(network, SHAPE, FINE, ratio=0.7)
    assert pruned.ratio <= 0.7
    with torch.no_grad():
        whole, small = network(x), pruned.module().eval()(x)
        coupling = couple(capture(network, SHAPE))
        without = Network(masked(pruned.plan.cut(coupling))).eval()(x)
    assert_close(small, without)
    whole = (whole,) if isinstance(whole, torch.Tensor) else whole
    assert [y.shape for y in small] == [y.shape for y in whole]
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(to_onnx(pruned.graph).SerializeToString(),
                                       providers=["CPUExecutionProvider"])  # fmt: skip
    assert_close(session.run(None, {session.get_inputs()[0].name: x.numpy()}), small)


def test_plan_and_weights_alone_make_the_network_again(tmp_path: Path) -> None:
    """Tensors in safetensors and a plan in JSON; another process, bit-equal outputs."""
    safetensors = pytest.importorskip("safetensors.torch")
    pruned = prune_module(everyday("Detector"), SHAPE, FINE, ratio=0.6)
    module = pruned.module().eval()
    write_plan(pruned.plan, tmp_path / "plan.json")
    safetensors.save_file(dict(module.state_dict()), tmp_path / "weights.safetensors")
    code = f"""
import sys, torch
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tests.tao.pruning.everyday_networks import SHAPE, Detector
from tests.tao.pruning.test_everyday_networks import picture
from nibblefit.nn.sources.state_dicts import read_state_dict
from nibblefit_tao.pruning.module import reload
from nibblefit_tao.pruning.plan import read_plan
torch.set_num_threads({torch.get_num_threads()})
folder = Path({str(tmp_path)!r})
state = read_state_dict(folder / "weights.safetensors")
network = reload(Detector().eval(), SHAPE, read_plan(folder / "plan.json"), state)
with torch.no_grad():
    torch.save(list(network.eval()(picture())), folder / "out.pt")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
    with torch.no_grad():
        ours = module(picture())
    theirs = torch.load(tmp_path / "out.pt", weights_only=True)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_weights_by_the_graphs_names_are_taken_too(tmp_path: Path) -> None:
    """As the command writes them."""
    network = everyday("Dense")
    pruned = prune_module(network, SHAPE, FINE, ratio=0.8)
    write_plan(pruned.plan, tmp_path / "plan.json")
    state = {name: torch.tensor(value) for name, value in pruned.graph.constants.items()}
    again = reload(network, SHAPE, read_plan(tmp_path / "plan.json"), state)
    with torch.no_grad():
        assert torch.equal(again.eval()(picture())[0], pruned.module().eval()(picture())[0])

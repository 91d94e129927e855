"""Published stages from published files: solvers decide events, networks who gets half."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from tests.tidl.sparsity.test_schedule import _EVENT, _fire

from nibblefit_tidl.caffe.entry import import_caffe
from nibblefit_tidl.caffe.solver import read_solver
from nibblefit_tidl.latency.published import JACINTONET11_ZEROS, JSEGNET21_ZEROS
from nibblefit_tidl.sparsity.eligibility import convolutions
from nibblefit_tidl.sparsity.schedule import Edition, Schedule

#: Fraction of the last thresholding of both networks: 0.80 is asked, the last step overshoots.
LAST = 0.81


def schedule_of(path: Path) -> Schedule:
    """Return the ramp that a solver file asks for."""
    found = read_solver(path)
    before = found.sparsity_itr_increment_bfr_applying
    return Schedule(
        found.sparsity_target, found.sparsity_start_iter, found.sparsity_start_factor,
        found.sparsity_step_iter, found.sparsity_step_factor,
        Edition.V0_16 if before else Edition.V0_17,
    )  # fmt: skip


def test_the_solver_of_jdetnet_gives_its_log(shared: Path) -> None:
    """All twelve events of the log, with the sparsities that it prints."""
    folder = shared / "vendor" / "tidl"
    log = (folder / "logs" / "jdetnet_768x320_sparse_schedule.log").read_text()
    published = [(int(i), float(f), float(a)) for f, a, i in _EVENT.findall(log)]
    after = {f: later[2] for (_, f, _), later in pairwise(published)}
    solver = folder / "prototxt" / "jdetnet_voc0712_768x320_sparse_solver.prototxt"
    assert _fire(schedule_of(solver), 120_000, after) == [(i, f) for i, f, _ in published]


def test_the_solver_of_jsegnet_fires_22_times(shared: Path) -> None:
    """From 0.60 at iteration 1,000 to 0.81 at 22,000."""
    folder = shared / "vendor" / "tidl" / "prototxt"
    schedule = schedule_of(folder / "jsegnet21v2_cityscapes5_sparse_solver.prototxt")
    achieved = {round(0.60 + 0.01 * k, 2): 0.60 + 0.01 * k - 0.003 for k in range(30)}
    events = _fire(schedule, 60_000, achieved)
    assert (len(events), events[0], events[-1]) == (22, (1000, 0.60), (22_000, LAST))


@pytest.mark.parametrize(
    ("name", "zeros", "halves"),
    [
        ("jacintonet11v2_imagenet", JACINTONET11_ZEROS, {"conv1a"}),
        ("jsegnet21v2_cityscapes5", JSEGNET21_ZEROS, {"conv1a", "ctx_final"}),
    ],
)
def test_the_layers_of_the_log_get_the_low_fraction(
    shared: Path, name: str, zeros: dict[str, float], halves: set[str]
) -> None:
    """Those with a narrow side get half; no layer of the log has more zeros than it was asked."""
    path = shared / "vendor" / "tidl" / "prototxt" / f"{name}_deploy.prototxt"
    layers = {layer.name: layer for layer in convolutions(import_caffe(path).graph)}
    short = {re.sub(r"a_branch2|/", "", key): layer for key, layer in layers.items()}
    assert {key for key, layer in short.items() if layer.share == 0.5} == halves
    assert set(short) == set(zeros)
    for key, share in zeros.items():
        assert share <= LAST * short[key].share + 0.0005
        assert share > 0.75 * LAST * short[key].share


def test_the_heads_of_jdetnet_are_never_thresholded(shared: Path) -> None:
    """They are 1 × 1, which keeps the published total below the fraction of the base."""
    path = shared / "vendor/tidl/prototxt/jdetnet_voc0712_768x320_deploy.prototxt"
    layers = convolutions(import_caffe(path).graph)
    heads = [layer for layer in layers if "ctx" in layer.name or "mbox" in layer.name]
    assert len(heads) >= 15
    assert not any(layer.is_eligible for layer in heads)
    assert sum(layer.is_eligible for layer in layers) == 10

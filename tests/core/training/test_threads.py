"""The number of threads of a training."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from nibblefit.training.threads import fitting_threads, work_per_step


def job(batch_size, device="cpu", processes=1):
    """Return a job of 9 parameters on 4 × 5 positions."""
    return SimpleNamespace(
        network=torch.nn.Conv2d(1, 1, 3, bias=False),
        data=SimpleNamespace(input_shape=(1, 4, 5)),
        settings=SimpleNamespace(batch_size=batch_size, processes=processes),
        device=device,
    )


def test_work_is_counted_per_position_and_process():
    """Nine weights at twenty positions of ten samples, shared by two processes."""
    assert work_per_step(job(10, processes=2)) == 900


@pytest.mark.parametrize(
    ("made", "expected"), [(job(10), 1), (job(10**7), 3), (job(10, "cuda"), 3)]
)
def test_small_steps_use_one_thread(made, expected):
    """Only small steps on the CPU are restricted, and the setting comes back."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with fitting_threads(made):
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)

"""Training in two processes on the CPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from tests.core.training.toys import (
    CONV_MASK,
    TASK,
    Average,
    CrossCheck,
    Groups,
    Recorder,
    Sawtooth,
    Shrink,
    Stop,
    Widen,
    digest,
    network,
    run,
)

from nibblefit.errors import InputError, InterruptedRunError, LimitError
from nibblefit.training.fit import fit
from nibblefit.training.parts import TrainingPart

pytest.importorskip("lightning", reason="extra 'train' is not installed")


def parts(step=10**9):
    """Return every kind of toy part, and the check that all processes agree."""
    shrink, average = Shrink(), Average()
    return [shrink, average, Groups(), Sawtooth(), Widen(2, keeps=True),
            CrossCheck(shrink, average), Stop(step)]  # fmt: skip


def train(folder, contributions, recorder=None, net=None, masks=CONV_MASK, **settings):
    """Train in two processes."""
    made = run(folder, recorder, **{"processes": 2, "epochs": 3, **settings})
    return fit(made, net or network(), TASK, made.data, made.recipe.train, contributions, masks)


def test_every_contribution_survives_two_processes_and_a_stop(tmp_path):
    """All processes agree after every step, and a stopped training resumes bit for bit."""
    recorder = Recorder()
    whole = train(tmp_path / "whole", parts(), recorder)
    assert recorder.steps == recorder.total == 12
    assert np.array_equal(whole.network.conv.weight.detach().numpy() != 0, CONV_MASK["conv.weight"])
    assert "extra.weight" in whole.network.state_dict()
    with pytest.raises(Exception, match="stopped"):
        train(tmp_path / "cut", parts(10))
    resumed = train(tmp_path / "cut", parts())
    assert digest(resumed.network) == digest(whole.network)
    assert resumed.history == whole.history


def test_two_processes_train_as_one_without_batch_statistics(tmp_path):
    """Without batch norm and dropout, two processes follow one up to float rounding.

    57 samples in batches of 16 give shares of different size: their weights must be right.
    """

    def plain():
        return network(norm=False, dropout=0.0)

    two = train(tmp_path / "two", [], net=plain(), masks=None, optimizer="sgd")
    one = train(tmp_path / "one", [], net=plain(), masks=None, optimizer="sgd", processes=1)
    for name, value in one.network.state_dict().items():
        assert torch.allclose(two.network.state_dict()[name], value, rtol=0, atol=1e-6), name
    assert two.history[-1]["loss"] == pytest.approx(one.history[-1]["loss"], rel=1e-5)


def test_explained_errors_come_through(tmp_path):
    """An error explained in a process reaches the caller as what it is."""
    with pytest.raises(LimitError, match="loss became"):
        train(tmp_path, [], optimizer="sgd", learning_rate=1e6, weight_decay=1.0)


def test_unsendable_training_is_explained(tmp_path):
    """What cannot be pickled is named, with what to do."""
    net = network()
    net.extra = lambda x: x
    with pytest.raises(InputError, match="cannot be sent"):
        train(tmp_path, [], net=net)
    with pytest.raises(InputError, match="cannot be shared"):
        train(tmp_path, [], batch_size=1)


class Killed(TrainingPart):
    """Kills the second process, once, in the second epoch."""

    name = "killed"

    def __init__(self, once):
        self.once = once

    def after_step(self, network, progress):
        if progress.step == 6 and torch.distributed.get_rank() == 1 and not self.once.exists():
            self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_named_and_the_training_goes_on_later(tmp_path):
    """One clear error with the exit code of an interruption; resuming gives the same weights."""
    (tmp_path / "calm").touch()
    whole = train(tmp_path / "whole", [Killed(tmp_path / "calm")])
    with pytest.raises(InterruptedRunError, match=r"SIGKILL.*checkpoints are kept") as caught:
        train(tmp_path / "cut", [Killed(tmp_path / "once")])
    assert caught.value.exit_code == 130
    recorder = Recorder()
    resumed = train(tmp_path / "cut", [Killed(tmp_path / "once")], recorder)
    assert any("going on after epoch 1" in line for line in recorder.said)
    assert digest(resumed.network) == digest(whole.network)


SCRIPT = """
import sys, time
from pathlib import Path
from nibblefit.training.fit import fit
from nibblefit.training.parts import TrainingPart
from tests.core.training.toys import TASK, network, run

class Slow(TrainingPart):
    def after_step(self, network, progress):
        time.sleep(0.05)

if __name__ == "__main__":
    from killed import Slow
    made = run(Path(sys.argv[1]), processes=2, epochs=200)
    fit(made, network(), TASK, made.data, made.recipe.train, [Slow()])
"""


@pytest.mark.slow
def test_processes_leave_with_a_killed_parent(tmp_path, root):
    """After a kill of the training nothing goes on writing to its folder."""
    (tmp_path / "killed.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": f"{root}:{tmp_path}"}
    process = subprocess.Popen([sys.executable, tmp_path / "killed.py", tmp_path], env=environment)
    log = tmp_path / "files" / "history.csv"
    deadline = time.monotonic() + 180
    while not log.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert process.poll() is None, "the training ended before it could be killed"
    assert log.exists(), "the training did not finish an epoch in time"
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1.0)
    before = log.read_bytes()
    time.sleep(2.0)
    assert log.read_bytes() == before

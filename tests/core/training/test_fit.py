"""The training loop in one process."""

from __future__ import annotations

import csv
import random
import signal
import sys

import numpy as np
import pytest
import torch
from tests.core.training.toys import (
    CONV_MASK,
    COUNT,
    KINDS,
    TASK,
    Recorder,
    Stop,
    Widen,
    digest,
    network,
    run,
)

from nibblefit.data.source import Split
from nibblefit.errors import LimitError, MissingExtraError, RecipeError, UnsupportedError
from nibblefit.training.evaluation import evaluate_float
from nibblefit.training.fit import fit
from nibblefit.training.parts import TrainingPart
from nibblefit.training.parts_library import FoldBatchNorm

pytest.importorskip("lightning", reason="extra 'train' is not installed")


def train(folder, parts=(), masks=None, net=None, recorder=None, **settings):
    """Train the tiny network in a folder."""
    made = run(folder, recorder, **settings)
    return fit(made, net or network(), TASK, made.data, made.recipe.train, parts, masks)


def test_training_learns_and_reports(tmp_path):
    """The loss falls, accuracy rises, the bar is full, and the log equals the history."""
    recorder = Recorder()
    found = train(tmp_path, recorder=recorder, epochs=8)
    assert found.history[-1]["loss"] < 0.6 * found.history[0]["loss"]
    assert found.history[found.chosen_epoch - 1]["validation_top1"] > 0.85
    assert recorder.steps == recorder.total == 32
    assert {"loss", "validation_top1"} <= recorder.figures.keys()
    with (tmp_path / "files" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    kept = [row.pop("kept") for row in rows]
    assert [int(mark) for mark in kept] == [e == found.chosen_epoch for e in range(1, 9)]
    assert [{k: float(v) for k, v in row.items()} for row in rows] == [
        dict(r) for r in found.history
    ]
    assert not found.network.training


def test_same_seed_gives_the_same_bytes(tmp_path):
    """Two trainings end in identical weights and logs; another seed differs."""
    torch.manual_seed(1)
    first = train(tmp_path / "a")
    torch.manual_seed(2)
    second = train(tmp_path / "b")
    assert digest(first.network) == digest(second.network)
    logs = [(tmp_path / name / "files" / "history.csv").read_bytes() for name in "ab"]
    assert logs[0] == logs[1]
    assert digest(train(tmp_path / "c", net=network(1)).network) != digest(first.network)


def test_callers_random_generators_are_left_alone(tmp_path):
    """Training draws from generators of its own, as far as the caller can see."""
    torch.manual_seed(5)
    random.seed(5)
    before = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    flags = torch.are_deterministic_algorithms_enabled()
    train(tmp_path, epochs=1)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1] == random.getstate()
    assert np.array_equal(before[2], np.random.get_state()[1])  # noqa: NPY002
    assert flags == torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("kind", "optimizer"),
    [*((kind, "adam") for kind in sorted(KINDS)), ("all", "sgd"), ("rewrite", "sgd")],
)
def test_stopped_training_resumes_bit_for_bit(tmp_path, kind, optimizer):
    """For every kind of contribution, a stop in mid-epoch leaves no trace in the result."""
    masks = CONV_MASK if kind in ("nothing", "all") else None
    settings = {"epochs": 4, "optimizer": optimizer, "weight_decay": 0.01, "gradient_clip": 1.0}
    stop = Stop(10**9)
    whole = train(tmp_path / "whole", [*KINDS[kind](), stop], masks, **settings)
    # 4 steps per epoch: just after the rewrite before epoch 2, and in epoch 3.
    for step in (9, 14):
        with pytest.raises(RuntimeError, match="stopped"):
            train(tmp_path / "cut", [*KINDS[kind](), Stop(step)], masks, **settings)
    resumed = train(tmp_path / "cut", [*KINDS[kind](), stop], masks, **settings)
    assert digest(resumed.network) == digest(whole.network)
    assert resumed.history == whole.history
    assert resumed.chosen_epoch == whole.chosen_epoch
    logs = [(tmp_path / name / "files" / "history.csv").read_bytes() for name in ("whole", "cut")]
    assert logs[0] == logs[1]


def test_finished_training_is_not_repeated(tmp_path):
    """Between the last epoch and the step's end a kill costs nothing."""
    whole = train(tmp_path)
    log = (tmp_path / "files" / "history.csv").read_bytes()
    for name in ("history.csv", "seconds.csv"):
        (tmp_path / "files" / name).unlink()
    again = train(tmp_path, [], recorder=(recorder := Recorder()))
    assert (tmp_path / "files" / "history.csv").read_bytes() == log
    assert again.seconds == whole.seconds
    assert digest(again.network) == digest(whole.network)
    assert any("after epoch 4" in line for line in recorder.said)


def test_damaged_checkpoint_falls_back_to_the_one_before(tmp_path):
    """A bad newest checkpoint is reported and the previous one taken, with the same end."""
    whole = train(tmp_path / "a")
    with pytest.raises(RuntimeError):
        train(tmp_path / "b", [Stop(14)])
    parts = [stop := Stop(14)]
    stop.active = False
    newest = max((tmp_path / "b" / "scratch").glob("*.ckpt"))
    newest.write_bytes(newest.read_bytes()[:-50])
    resumed = train(tmp_path / "b", parts, recorder=(recorder := Recorder()))
    assert "damaged" in recorder.warned[0]
    assert "going on after epoch 2" in recorder.said
    assert digest(resumed.network) == digest(whole.network)


def test_checkpoint_of_other_settings_is_not_used(tmp_path):
    """Changed settings start anew instead of mixing two trainings."""
    train(tmp_path, learning_rate=0.02)
    recorder = Recorder()
    found = train(tmp_path, recorder=recorder)
    assert any("other settings" in line for line in recorder.said)
    assert digest(found.network) == digest(train(tmp_path / "fresh").network)


def test_checkpoint_every_k_epochs(tmp_path):
    """Checkpoints come every k epochs and at the end; at most two are kept."""
    train(tmp_path / "a", epochs=5, checkpoint_every=2)
    names = sorted(path.name for path in (tmp_path / "a" / "scratch").iterdir())
    assert names == ["epoch-000004.ckpt", "epoch-000005.ckpt"]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_masks_hold_against_decay_and_momentum(tmp_path, optimizer):
    """Masked weights are exactly zero after training, unmasked ones are not."""
    found = train(tmp_path, [], CONV_MASK, optimizer=optimizer, weight_decay=0.1)
    weights = found.network.conv.weight.detach().numpy()
    assert np.array_equal(weights != 0, CONV_MASK["conv.weight"])


def test_masks_hold_at_every_step(tmp_path):
    """No step ever sees a revived weight."""

    class Watch(TrainingPart):
        def learning_rate_factor(self, progress):
            weights = net.conv.weight.detach().numpy()
            assert not weights[~CONV_MASK["conv.weight"]].any()
            return 1.0

    net = network()
    train(tmp_path, [Watch()], CONV_MASK, net=net)


def test_best_or_last_epoch_is_kept(tmp_path):
    """`best` keeps the epoch of the highest metric and lowest loss, `last` the last."""
    best = train(tmp_path / "a", epochs=6)
    values = [record["validation_top1"] for record in best.history]
    ranks = [(-record["validation_top1"], record["validation_loss"]) for record in best.history]
    assert best.chosen_epoch == ranks.index(min(ranks)) + 1
    measured = evaluate_float(best.network, TASK, run(tmp_path / "a").data, Split.VALIDATION)
    assert measured.metrics["top1"] == max(values)
    last = train(tmp_path / "b", epochs=6, choose="last")
    assert last.chosen_epoch == 6
    measured = evaluate_float(last.network, TASK, run(tmp_path / "b").data, Split.VALIDATION)
    assert measured.metrics["top1"] == values[-1]


def test_early_stop_counts_epochs_without_improvement(tmp_path):
    """Training ends after the stated number of epochs that do not beat the best metric."""
    found = train(tmp_path, epochs=40, early_stop=3, learning_rate=0.05)
    values = [record["validation_top1"] for record in found.history]
    assert len(found.history) == values.index(max(values)) + 1 + 3 < 40


def test_rewrite_restarts_the_choice(tmp_path):
    """The kept epoch has the rewritten structure, however good earlier ones were."""
    found = train(tmp_path, [Widen(3)], early_stop=1, epochs=5)
    assert found.chosen_epoch >= 4
    assert "extra.weight" in found.network.state_dict()


def test_frozen_parameters_do_not_move(tmp_path):
    """Groups of the recipe with factor 0 keep every bit, decay included."""
    start = network().conv.weight.clone()
    groups = [{"patterns": ["conv.*"], "learning_rate_factor": 0.0}]
    found = train(tmp_path, parameter_groups=groups, weight_decay=0.1)
    assert torch.equal(found.network.conv.weight, start)
    assert not torch.equal(found.network.linear.weight, network().linear.weight)


def test_folding_in_mid_training(tmp_path):
    """A graph network folds its batch norm before an epoch and trains on, and resumes so."""
    from nibblefit.nn.capture import capture
    from nibblefit.nn.network import Network

    graph = capture(network(dropout=0.0).eval(), (1, 6, 6))

    def fold(folder, stop):
        return train(folder, [FoldBatchNorm(2), stop], net=Network(graph), epochs=3)

    whole = fold(tmp_path / "a", Stop(10**9))
    with pytest.raises(RuntimeError):
        fold(tmp_path / "b", Stop(10))
    resumed = fold(tmp_path / "b", Stop(10**9))
    ops = [node.op.value for node in resumed.network.to_graph().nodes]
    assert "batch_norm" not in ops
    assert digest(whole.network) == digest(resumed.network)


def test_ctrl_c_stays_ctrl_c(tmp_path):
    """An interrupt reaches the caller as one, with the handler back in place."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, [Stop(6, KeyboardInterrupt)])
    assert signal.getsignal(signal.SIGINT) is before
    found = train(tmp_path, [Stop(10**9)])
    assert digest(found.network) == digest(train(tmp_path / "whole", [Stop(10**9)]).network)


def test_no_validation_split_keeps_the_last_epoch(tmp_path):
    """Without validation samples nothing is judged and the last epoch is kept."""
    from tests.core.training.toys import source

    made = run(tmp_path)
    found = fit(made, network(), TASK, source(validation=0), made.recipe.train)
    assert found.chosen_epoch == 4
    assert not any(name.startswith("validation_") for name in found.history[0])


def test_loader_processes_change_nothing(tmp_path):
    """Batches read by worker processes, augmentation included, give the same weights."""
    found = []
    for workers in (0, 2):
        made = run(tmp_path / str(workers), epochs=2)
        data = made.recipe.data.model_copy(
            update={"workers": workers, "augment": {"shift": 1, "noise": 0.1}}
        )
        object.__setattr__(made, "recipe", made.recipe.model_copy(update={"data": data}))
        found.append(digest(fit(made, network(), TASK, made.data, made.recipe.train).network))
    assert found[0] == found[1]


def test_diverging_training_is_explained(tmp_path):
    """A loss that is no number ends in one clear error."""
    with pytest.raises(LimitError, match="learning_rate"):
        train(tmp_path, optimizer="sgd", learning_rate=1e6, weight_decay=1.0)


def test_zero_epochs_change_nothing(tmp_path):
    """No epoch, no change, no files."""
    net = network()
    found = train(tmp_path, net=net, epochs=0)
    assert found.network is net
    assert (found.history, found.chosen_epoch) == ((), 0)


def test_unusable_settings_are_explained(tmp_path):
    """Unmatched groups, frozen networks and moved targets are refused by name."""
    with pytest.raises(RecipeError, match=r"stem\.\*"):
        train(tmp_path, parameter_groups=[{"patterns": ["stem.*"]}])
    with pytest.raises(RecipeError, match="did you mean 'patterns'"):
        train(tmp_path, parameter_groups=[{"pattern": ["stem.*"]}])
    with pytest.raises(UnsupportedError, match="nothing to train"):
        train(tmp_path, parameter_groups=[{"patterns": ["*"], "learning_rate_factor": 0}])
    with pytest.raises(RecipeError, match="floor"):
        train(tmp_path, schedule_options={"flor": 0.1})


def test_missing_lightning_names_the_extra(tmp_path, monkeypatch):
    """Without Lightning the error says what to install."""
    monkeypatch.setattr("nibblefit.training.fit.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"nibblefit\[train\]"):
        train(tmp_path)


def test_epoch_covers_every_sample_once(tmp_path):
    """The mean loss of an epoch is taken over all training samples."""
    seen = []

    class Watch(type(TASK)):
        def loss(self, outputs, target):
            seen.append(len(target))
            return super().loss(outputs, target)

    made = run(tmp_path, epochs=1)
    task = Watch(TASK.class_names)
    fit(made, network(), task, made.data, made.recipe.train)
    assert sum(seen) == COUNT + 20
    assert "lightning" in sys.modules

"""Everything a training knows between two epochs, and its form in a checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from nibblefit.errors import InputError, PluginError
from nibblefit.recipe import TrainSection
from nibblefit.training.choice import Judged
from nibblefit.training.optimizers import OptimizerState
from nibblefit.training.parts import Progress, TrainingPart
from nibblefit.training.randomness import seeded

Weights = dict[str, Tensor]
#: Form of what a checkpoint holds; one of another form is not continued.
_FORM = 2


@dataclass
class Best:
    """The best epoch with a checkpoint so far, of those since the last rewrite."""

    judged: Judged
    weights: Weights


@dataclass
class TrainingState:
    """Where a training stands.

    Attributes:
        epoch: Finished epochs.
        step: Finished optimizer steps.
        history: One record per finished epoch.
        best: See `Best`; None before the first judged epoch and after a rewrite.
        top: The best epoch since the last rewrite, with or without a checkpoint.
        candidates: Epochs that were judged and saved since the last rewrite.
        stale: Judged epochs since the metric was best.
        rewrites: (position of the part, progress) of every rewrite, in order.
        optimizer: State by parameter name.
        seconds: Duration of every epoch.
        finished: Nothing is left to do.
    """

    epoch: int = 0
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: Best | None = None
    top: Judged | None = None
    candidates: list[int] = field(default_factory=list)
    stale: int = 0
    rewrites: list[tuple[int, Progress]] = field(default_factory=list)
    optimizer: OptimizerState = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    finished: bool = False


def copied_weights(network: nn.Module) -> Weights:
    """Return copies of all parameters and buffers, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def fingerprint(network: nn.Module, settings: TrainSection, parts: Sequence[TrainingPart],
                seed: int, samples: int) -> str:  # fmt: skip
    """Return a digest of everything a checkpoint must share with the training it continues."""
    facts = [_FORM, settings.model_dump(mode="json"), seed, samples, [part.name for part in parts]]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, value in network.state_dict().items():
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def to_checkpoint(state: TrainingState, network: nn.Module, parts: Sequence[TrainingPart],
                  key: str) -> dict[str, Any]:  # fmt: skip
    """Return tensors and plain values that hold the whole training."""
    best = state.best
    return {
        "key": key,
        "epoch": state.epoch,
        "step": state.step,
        "history": state.history,
        "best": None if best is None else [_plain(best.judged), best.weights],
        "top": None if state.top is None else _plain(state.top),
        "candidates": state.candidates,
        "stale": state.stale,
        "rewrites": [[n, p.epoch, p.step, p.epochs, p.steps] for n, p in state.rewrites],
        "optimizer": state.optimizer,
        "seconds": state.seconds,
        "finished": state.finished,
        "network": copied_weights(network),
        "parts": [dict(part.state_dict()) for part in parts],
    }


def from_checkpoint(saved: Mapping[str, Any], network: nn.Module, parts: Sequence[TrainingPart],
                    seed: int) -> tuple[TrainingState, nn.Module]:  # fmt: skip
    """Replay the rewrites on a fresh network, load all weights and states, and return both.

    Raises:
        InputError: The content does not fit the network.
        PluginError: A part does not rewrite again where it did before.
    """
    try:
        best, top = saved["best"], saved["top"]
        state = TrainingState(
            epoch=int(saved["epoch"]),
            step=int(saved["step"]),
            history=list(saved["history"]),
            best=None if best is None else Best(Judged(*best[0]), best[1]),
            top=None if top is None else Judged(*top),
            candidates=list(saved["candidates"]),
            stale=int(saved["stale"]),
            rewrites=[(number, Progress(*rest)) for number, *rest in saved["rewrites"]],
            optimizer=dict(saved["optimizer"]),
            seconds=list(saved["seconds"]),
            finished=bool(saved["finished"]),
        )
        network = replay(network, parts, state.rewrites, seed)
        network.load_state_dict(saved["network"])
        for part, kept in zip(parts, saved["parts"], strict=True):
            part.load_state_dict(kept)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"the checkpoint does not fit this training: {error}",
            hint="delete it to start this step again",
        ) from error
    return state, network


def _plain(judged: Judged) -> list[float]:
    return [judged.epoch, judged.value, judged.loss]


def replay(network: nn.Module, parts: Sequence[TrainingPart],
           rewrites: Sequence[tuple[int, Progress]], seed: int) -> nn.Module:  # fmt: skip
    """Repeat recorded rewrites on a fresh network."""
    for number, progress in rewrites:
        again = rewritten(parts[number], network, progress, seed)
        if again is None:
            raise PluginError(
                f"training part '{parts[number].name}' rewrote the network before epoch "
                f"{progress.epoch + 1}, and does not when that is repeated",
                hint="a rewrite may depend on the network and the progress only",
            )
        network = again
    return network


def rewritten(
    part: TrainingPart, network: nn.Module, progress: Progress, seed: int
) -> nn.Module | None:
    """Ask one part for a rewrite; what it draws at random is the same whenever it is asked."""
    with seeded(seed, progress.epoch, process=-1):
        return part.rewrite(network, progress)

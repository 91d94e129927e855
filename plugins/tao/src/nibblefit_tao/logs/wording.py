"""What TAO's status lines say, by the task of a step."""

from __future__ import annotations

from dataclasses import dataclass

EPOCH = "Training loop in progress"
MEASURED = "Evaluation metrics generated."
RATIO = "Pruning ratio (pruned model / original model): {ratio:g}"


@dataclass(frozen=True, slots=True)
class Words:
    """Messages of one task: as it starts, as it succeeds, and as somebody stops it."""

    started: str
    finished: str
    interrupted: str


_TRAINING = Words("Starting Training Loop.", "Training finished successfully.",
                  "Training was interrupted")  # fmt: skip
_EVALUATION = Words("Starting evaluation.", "Evaluation finished successfully.",
                    "Evaluation was interrupted")  # fmt: skip
_TASKS = {
    "train": _TRAINING,
    "retrain": _TRAINING,
    "qat": _TRAINING,
    "prune": Words("Starting pruning.", "Pruning finished successfully.",
                   "Pruning was interrupted"),
    "compile": Words("Starting export.", "Export finished successfully.",
                     "Export was interrupted"),
}  # fmt: skip


def words_of(step: str) -> Words:
    """Return the messages of a step, in its own name where TAO has no such task."""
    base = step.partition("@")[0]
    if base.partition("_")[0] == "evaluate":
        return _EVALUATION
    own = Words(f"Starting {base}.", f"{base.capitalize()} finished successfully.",
                f"{base.capitalize()} was interrupted")  # fmt: skip
    return _TASKS.get(base, own)

"""Distillation: its loss, that it teaches, resumes and repeats itself, and what it refuses."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.core.training.toys import TASK, digest, network, run, source
from torch import nn

from nibblefit.errors import InputError, RecipeError, UnsupportedError
from nibblefit.run import Run
from nibblefit.training.distillation import Distillation, distillation_for
from nibblefit.training.fit import fit
from nibblefit.training.parts import Progress, TrainingPart

START = Progress(0, 0, 1, 1)


class Fixed(nn.Module):
    """Gives the same outputs whatever comes in."""

    def __init__(self, *rows: list[float]) -> None:
        super().__init__()
        self.rows = torch.tensor(rows)

    def forward(self, x):
        return (self.rows,)


def _softened(scores: list[float], temperature: float) -> list[float]:
    powers = [math.exp(score / temperature) for score in scores]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize(("temperature", "weight"), [(1.0, 1.0), (4.0, 0.25)])
def test_the_loss_is_the_weighted_divergence(temperature: float, weight: float) -> None:
    """(1 - w) · loss + w · T² · mean over samples of sum t · log(t / s), computed by hand."""
    teacher, student = [[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]], [[1.0, 1.5, 0.0], [0.0, 0.25, 1.0]]
    part = Distillation(Fixed(*teacher), temperature, weight)
    found = part.joined_loss(
        torch.tensor(0.75), (torch.tensor(student),), torch.zeros(2, 1), START
    )  # fmt: skip
    apart = [
        sum(t * math.log(t / s) for t, s in zip(_softened(a, temperature),
                                                _softened(b, temperature), strict=True))
        for a, b in zip(teacher, student, strict=True)
    ]  # fmt: skip
    expected = (1 - weight) * 0.75 + weight * temperature**2 * sum(apart) / 2
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_probabilities_are_scores_after_softmax() -> None:
    """Networks that end in softmax give the loss of their scores."""
    teacher, student = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([[1.0, 1.5, 0.0]])
    scores = Distillation(Fixed(*teacher.tolist()))
    shares = Distillation(Fixed(*teacher.softmax(1).tolist()), probabilities=True)
    loss, inputs = torch.tensor(0.0), torch.zeros(1, 1)
    assert scores.joined_loss(loss, (student,), inputs, START).item() == pytest.approx(
        shares.joined_loss(loss, (student.softmax(1),), inputs, START).item(), rel=1e-5
    )


def test_reconstructions_are_compared_by_value() -> None:
    """Without classes the distance is the mean squared difference."""
    part = Distillation(Fixed([1.0, 3.0]), weight=1.0, scores=False)
    outputs = (torch.tensor([[0.0, 1.0]]),)
    found = part.joined_loss(torch.tensor(9.0), outputs, torch.zeros(1), START)
    assert found.item() == 2.5


def test_a_teacher_of_other_classes_is_refused() -> None:
    """The message names both shapes."""
    part = Distillation(Fixed([1.0, 3.0, 2.0]))
    with pytest.raises(InputError, match=r"\[3\] per sample, the network's \[2\]"):
        part.joined_loss(torch.tensor(0.0), (torch.zeros(1, 2),), torch.zeros(1), START)


def _taught(folder: Path, epochs: int, teacher: nn.Module, *, stop: int | None = None) -> str:
    """Train with a teacher and return the digest of the weights; `stop` kills after an epoch."""

    class Kill(TrainingPart):
        def after_step(self, network, progress):
            if stop is not None and progress.step == stop * 4:
                raise KeyboardInterrupt

    order: Run = run(folder, epochs=epochs)
    parts = (Distillation(teacher, weight=0.9), Kill())
    result = fit(order, network(), TASK, source(), order.recipe.train, parts)
    return digest(result.network)


def test_training_with_a_teacher_repeats_and_resumes(tmp_path: Path) -> None:
    """Two trainings, and one killed in its third epoch, end in the same bytes; others do not."""
    teacher = network(seed=5)
    before = digest(teacher)
    whole = _taught(tmp_path / "a", 4, teacher)
    assert _taught(tmp_path / "b", 4, teacher) == whole
    with pytest.raises(KeyboardInterrupt):
        _taught(tmp_path / "c", 4, teacher, stop=3)
    assert _taught(tmp_path / "c", 4, teacher) == whole
    assert _taught(tmp_path / "d", 4, network(seed=6)) != whole
    assert digest(teacher) == before  # not even its running statistics


NET = """\
import torch
from torch import nn

def build(classes=2):
    return nn.Sequential(nn.Flatten(), nn.Linear(36, classes))
"""


def _with_teacher(folder: Path, **distill: object) -> Run:
    order = run(folder / "run")
    recipe = order.recipe.model_validate(
        {**order.recipe.model_dump(), "distill": distill, "folder": str(folder)}
    )
    (folder / "net.py").write_text(NET, encoding="utf-8")
    object.__setattr__(order, "recipe", recipe)
    return order


def test_the_recipe_names_a_teacher_with_weights(tmp_path: Path) -> None:
    """A factory and its weights become the teacher; its scores are those weights'."""
    weights = np.arange(72, dtype=np.float32).reshape(2, 36) / 72
    np.savez(tmp_path / "w.npz", **{"1.weight": weights, "1.bias": np.zeros(2, np.float32)})
    order = _with_teacher(tmp_path, teacher="net.py:build", weights="w.npz", weight=1.0,
                          temperature=1.0)  # fmt: skip
    (part,) = distillation_for(order)
    inputs = torch.rand(3, 1, 6, 6)
    same = inputs.flatten(1) @ torch.from_numpy(weights).T
    loss = part.joined_loss(torch.tensor(5.0), (same,), inputs, START)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


def test_what_cannot_teach_is_refused(tmp_path: Path) -> None:
    """No weights, another input shape, and a task without comparable outputs."""
    assert distillation_for(run(tmp_path / "none")) == ()
    with pytest.raises(RecipeError, match="starts untrained"):
        distillation_for(_with_teacher(tmp_path, teacher="net.py:build"))
    np.savez(tmp_path / "w.npz", weight=np.zeros((4, 1, 3, 3), np.float32))
    order = _with_teacher(tmp_path, teacher="net.py:build", weights="w.npz")
    with pytest.raises(InputError, match="do not fit"):
        distillation_for(order)

    class Boxes:
        name = "detection"

    object.__setattr__(order, "task", Boxes())
    with pytest.raises(UnsupportedError, match="the task is detection"):
        distillation_for(order)

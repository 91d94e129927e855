"""Distillation: a network learns from the scores of a trained one (Hinton et al., 2015)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nibblefit.errors import InputError, RecipeError, UnsupportedError
from nibblefit.recipe import DistillSection
from nibblefit.run import Run
from nibblefit.tasks.protocol import Task
from nibblefit.training.parts import Progress, TrainingPart

#: Tasks whose outputs are scores per class, on axis 1, of which softmax makes shares.
_SCORED = frozenset({"classification", "segmentation"})
_COMPARED = frozenset({"reconstruction"})


class Distillation(TrainingPart):
    """Mixes the task's loss with the distance to a teacher's outputs.

    Scores of classes (axis 1) are compared after softmax at a temperature T, as T² times the
    Kullback-Leibler divergence from the teacher's shares, averaged over everything but classes;
    T² keeps the gradients of both losses of the same order. Values of reconstructions are compared
    by their mean squared difference. The teacher sees the batch as the student does, augmented,
    and never changes.

    Args:
        teacher: Maps a batch to a tuple of outputs, of which the first counts.
        temperature: T, above 0.
        weight: Share of the teacher in the loss, 0 to 1.
        scores: The outputs are scores of classes.
        probabilities: The outputs have been through softmax already.
    """

    name = "distillation"

    def __init__(self, teacher: nn.Module, temperature: float = 4.0, weight: float = 0.7, *,
                 scores: bool = True, probabilities: bool = False) -> None:  # fmt: skip
        self._teacher = teacher.eval().requires_grad_(requires_grad=False)
        self.temperature = temperature
        self.weight = weight
        self._scores = scores
        self._probabilities = probabilities

    def joined_loss(self, loss: Tensor, outputs: Sequence[Tensor], inputs: Tensor,
                    progress: Progress) -> Tensor:  # fmt: skip  # noqa: ARG002
        """Return (1 - weight) · loss + weight · distance to the teacher."""
        student = outputs[0]
        with torch.no_grad():
            wanted = self._teacher.to(inputs.device)(inputs)[0]
        if wanted.shape != student.shape:
            raise InputError(
                f"the teacher's output is {list(wanted.shape[1:])} per sample, the network's "
                f"{list(student.shape[1:])}",
                hint="use a teacher that was trained for the same classes (distill.teacher)",
            )
        return (1.0 - self.weight) * loss + self.weight * self._distance(student, wanted)

    def _distance(self, student: Tensor, wanted: Tensor) -> Tensor:
        if not self._scores:
            return functional.mse_loss(student, wanted)
        found, target = (
            functional.log_softmax(self._logits(outputs) / self.temperature, 1)
            for outputs in (student, wanted)
        )
        apart = functional.kl_div(found, target, reduction="none", log_target=True).sum(1).mean()
        return self.temperature**2 * apart

    def _logits(self, outputs: Tensor) -> Tensor:
        # The smallest normal number keeps the logarithm of an exact zero finite.
        tiny = torch.finfo(outputs.dtype).tiny
        return outputs.clamp_min(tiny).log() if self._probabilities else outputs


def distillation_for(run: Run) -> tuple[Distillation, ...]:
    """Return what the recipe's [distill] adds to a training: nothing without a teacher.

    Raises:
        RecipeError: The teacher has no weights.
        UnsupportedError: The task's outputs cannot be compared.
        InputError: The teacher cannot be loaded, or takes other inputs than the data set has.
    """
    section = run.recipe.distill
    if not section.teacher:
        return ()
    if run.task.name not in _SCORED | _COMPARED:
        raise UnsupportedError(
            f"[distill] is for {', '.join(sorted(_SCORED | _COMPARED))}; the task is "
            f"{run.task.name}",
            hint="leave distill.teacher out",
        )
    teacher = _teacher(section, run)
    return (
        Distillation(
            teacher, section.temperature, section.weight, scores=run.task.name in _SCORED,
            probabilities=_ends_in_softmax(run.task),
        ),
    )  # fmt: skip


def _ends_in_softmax(task: Task) -> bool:
    return getattr(getattr(task, "options", None), "outputs", "logits") == "probabilities"


def _teacher(section: DistillSection, run: Run) -> nn.Module:
    from pathlib import Path

    from nibblefit.nn.load import load_source
    from nibblefit.nn.network import Network
    from nibblefit.recipe import ModelSection
    from nibblefit.workspace import open_run

    base, shape = Path(run.recipe.folder), tuple(run.data.input_shape)
    if (base / section.teacher).is_dir():
        if section.weights or section.arguments:
            raise RecipeError(
                f"distill.teacher is the run folder '{section.teacher}', whose network has its "
                "weights; distill.weights and distill.arguments are for factories",
                hint="leave them out",
            )
        graph = open_run(base / section.teacher).float_model().graph
    else:
        if not section.weights and not section.teacher.endswith(".onnx"):
            raise RecipeError(
                f"distill.teacher is '{section.teacher}', which starts untrained",
                hint="name its trained weights in distill.weights, or give a run folder",
            )
        source = ModelSection(
            source=section.teacher, arguments=section.arguments, weights=section.weights
        )
        with torch.random.fork_rng(devices=[]):  # a factory draws weights that are then replaced
            graph = load_source(source, base, shape)
    found = tuple(graph.shapes[graph.inputs[0]])
    if len(graph.inputs) != 1 or found != shape:
        raise InputError(
            f"the teacher {section.teacher} takes inputs {list(found)}, the data set has "
            f"{list(shape)}",
            hint="use a teacher that was trained on inputs of this shape",
        )
    return Network(graph)

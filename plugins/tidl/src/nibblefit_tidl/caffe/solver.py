"""Solver settings: the training stages of caffe-jacinto as plain values."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from nibblefit_tidl.caffe.reading import read_text
from nibblefit_tidl.caffe.schema import enum_name

_ENUMS = frozenset({"sparse_mode"})


@dataclass(frozen=True, slots=True)
class Solver:
    """What a solver file says about training; a field that it leaves out has Caffe's default.

    Attributes:
        base_lr, lr_policy, gamma, power, stepsize, stepvalue: The learning rate over iterations.
        momentum, weight_decay, regularization_type: The optimizer; type ``L1`` or ``L2``.
        max_iter, iter_size, random_seed: Length, batches per update, seed.
        sparse_mode: ``SPARSE_UPDATE`` keeps zero weights at zero.
        sparsity_target, sparsity_start_iter, sparsity_start_factor, sparsity_step_iter,
            sparsity_step_factor: When which share of the weights is set to zero.
        sparsity_threshold_maxratio, sparsity_threshold_value_max: Caps of the threshold.
        sparsity_itr_increment_bfr_applying: Whether iterations count before thresholding (0.16).
    """

    type: str
    base_lr: float
    lr_policy: str
    gamma: float
    power: float
    stepsize: int
    stepvalue: tuple[int, ...]
    momentum: float
    weight_decay: float
    regularization_type: str
    max_iter: int
    iter_size: int
    random_seed: int
    sparse_mode: str
    sparsity_target: float
    sparsity_start_iter: int
    sparsity_start_factor: float
    sparsity_step_iter: int
    sparsity_step_factor: float
    sparsity_threshold_maxratio: float
    sparsity_threshold_value_max: float
    sparsity_itr_increment_bfr_applying: bool


def read_solver(path: Path) -> Solver:
    """Return the settings of a solver file.

    Decimal numbers are those of the text, not their float32 neighbours.

    Raises:
        InputError: The file is missing, or holds something else; says the line.
    """
    message = read_text(path, "SolverParameter")
    return Solver(**{field.name: _value(message, field.name) for field in fields(Solver)})


def _value(message: Any, name: str) -> Any:
    if name in _ENUMS:
        return enum_name(message, name)
    value = getattr(message, name)
    if isinstance(value, float):
        # The message keeps float32; seven digits are what a person wrote.
        return float(f"{value:.7g}")
    return tuple(value) if name == "stepvalue" else value

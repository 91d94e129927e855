"""What the sparse stage reached: said when it ends, and measured three ways in every report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod

from nibblefit.ir.graph import frozen_mapping
from nibblefit.models import Model
from nibblefit.results import Report, Table
from nibblefit.run import Run
from nibblefit_tidl.complexity.sparsity import Sparsity, sparsity
from nibblefit_tidl.sparsity.eligibility import convolutions
from nibblefit_tidl.sparsity.options import SPARSE, STAGE, StageOptions

#: (run, model) → trained model.
Train = Callable[[Run, Model], Model]


def train_stage(run: Run, model: Model, train: Train) -> Model:
    """Train, and after the sparse stage say what it reached and why it fell short."""
    trained = train(run, model)
    if run.step_options.get(STAGE) != SPARSE:
        return trained
    options: StageOptions = run.options
    reached = sparsity(trained.graph, trained.masks)
    run.reporter.say(f"{run.step}: {_in_words(reached)}")
    if reached.by_weights < options.sparsity.target:
        run.reporter.warn(_short(trained, reached, options))
    return trained


def with_sparsity(report: Report, found: Sparsity, reasons: Mapping[str, str]) -> Report:
    """Return a report with the three figures, and a table with every convolution's.

    Args:
        report: What was measured.
        found: The zeros.
        reasons: Layer → whether it is thresholded, or why not.
    """
    metrics = {
        "sparsity_of_convolutions": found.by_weights,
        "sparsity_layer_mean": found.layer_mean,
        "sparsity_by_macs": found.by_macs,
    }
    rows = tuple(
        (layer.name, layer.weights, layer.zeros, layer.share, reasons.get(layer.name, ""))
        for layer in found.layers
    )
    table = Table("Sparsity", ("layer", "weights", "zeros", "share", "why"), rows)
    return replace(
        report,
        metrics=frozen_mapping({**report.metrics, **metrics}),
        tables=(*report.tables, table),
    )


def _in_words(found: Sparsity) -> str:
    return (
        f"{found.by_weights:.1%} of the weights of convolutions are zero (mean of layers "
        f"{found.layer_mean:.1%}, weighted by operations {found.by_macs:.1%})"
    )


def _short(model: Model, found: Sparsity, options: StageOptions) -> str:
    layers = convolutions(model.graph)
    total = max(1, sum(prod(layer.shape) for layer in layers))
    left_out = sum(prod(layer.shape) for layer in layers if not layer.is_eligible) / total
    halved = sum(prod(layer.shape) for layer in layers if layer.share == 0.5) / total
    ratio = options.sparsity.threshold_maxratio
    causes = [f"no threshold exceeds {ratio:g} of a channel's largest weight"]
    if halved >= 0.05:
        causes.insert(0, f"{halved:.0%} are in narrow layers, which get half")
    if left_out >= 0.05:
        causes.insert(0, f"{left_out:.0%} of the weights are in layers never thresholded")
    return (
        f"{found.by_weights:.1%} instead of {options.sparsity.target:.1%}: {', '.join(causes)}; "
        "raise target.l1 or give [train.l1] and [train.sparse] more epochs so that more weights "
        "shrink, or raise target.sparsity.threshold_maxratio"
    )

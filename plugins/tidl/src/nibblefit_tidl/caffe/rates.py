"""Learning-rate multipliers of a Caffe file (``lr_mult``), carried into training from it.

A multiplier of 0 freezes a parameter when the file is read. All others are noted in the prepared
model, and every training step multiplies its rate by them, parameter by parameter. Groups of the
recipe (``train.parameter_groups``) come before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path

from torch import nn

from nibblefit.ir.graph import frozen_mapping
from nibblefit.models import Model
from nibblefit.nn.names import trainable
from nibblefit.recipe import Recipe
from nibblefit.training.naming import parameters_by_name
from nibblefit.training.parts import ParameterGroup, TrainingPart
from nibblefit_tidl.caffe.net import TEST, TRAIN, Net, net_of
from nibblefit_tidl.caffe.reading import read_text

#: Entry of the model's facts: constant → multiplier, those that are not 1.
RATES = "caffe_learning_rates"
#: Layer type → names of its blobs, None for those that are not trained.
_BLOBS: Mapping[str, tuple[str | None, ...]] = {
    "Convolution": ("weight", "bias"), "Deconvolution": ("weight", "bias"),
    "InnerProduct": ("weight", "bias"), "Scale": ("weight", "bias"), "PReLU": ("weight",),
    "Bias": ("bias",), "BatchNorm": (None, None, None, "weight", "bias"),
}  # fmt: skip


def rates_of(net: Net) -> dict[str, float]:
    """Return constant → multiplier of every parameter that has one above 0 and other than 1."""
    return {name: rate for name, rate in _rates(net) if rate not in (0.0, 1.0)}


def rate_notes(net: Net) -> list[str]:
    """Return what the file says about learning rates beside freezing, one sentence or none."""
    counts = Counter(rate for _, rate in _rates(net))
    if set(counts) <= {0.0, 1.0}:
        return []
    said = [f"{count} at {rate:g}" + " (frozen)" * (rate == 0.0)
            for rate, count in sorted(counts.items())]  # fmt: skip
    note = (
        "learning-rate multipliers of the file (lr_mult) are used in training: parameters "
        f"{', '.join(said)}; train.parameter_groups come before them"
    )
    return [note]


def with_file_rates(model: Model, recipe: Recipe) -> Model:
    """Return the model with the multipliers of the Caffe file it came from, if it did."""
    source = Path(recipe.folder) / recipe.model.source
    if source.suffix != ".prototxt":
        return model
    phase = TRAIN if recipe.model.arguments.get("phase") == "train" else TEST
    free = trainable(model.graph)
    found = rates_of(net_of(read_text(source, "NetParameter"), str(source), phase))
    rates = {name: rate for name, rate in found.items() if name in free}
    if not rates:
        return model
    return replace(model, extra=frozen_mapping({**model.extra, RATES: rates}))


def with_rates(parts: Sequence[TrainingPart], model: Model) -> tuple[TrainingPart, ...]:
    """Return the parts of a step with the multipliers of the model's file in their groups."""
    rates: Mapping[str, float] = model.extra.get(RATES, {})
    return (FileRates(parts, rates), *parts) if rates else tuple(parts)


class FileRates(TrainingPart):
    """Offers groups before the other parts do: their decay, and the file's multiplier.

    Args:
        parts: The step's other parts.
        rates: Constant → multiplier.
    """

    name = "caffe_rates"

    def __init__(self, parts: Iterable[TrainingPart], rates: Mapping[str, float]) -> None:
        self._parts, self._rates = tuple(parts), dict(rates)

    def parameter_groups(self, network: nn.Module) -> Sequence[ParameterGroup]:
        """Return one group per multiplier and decay; frozen parameters stay frozen."""
        others = [group for part in self._parts for group in part.parameter_groups(network)]
        found: dict[tuple[float, float | None], list[str]] = {}
        for name in parameters_by_name(network):
            if name not in self._rates:
                continue
            decay, factor = _said(others, name)
            rate = 0.0 if factor == 0.0 else self._rates[name]
            found.setdefault((rate, decay), []).append(escape(name))
        return tuple(
            ParameterGroup(tuple(names), rate, decay) for (rate, decay), names in found.items()
        )


def _said(groups: Iterable[ParameterGroup], name: str) -> tuple[float | None, float]:
    """Return decay and factor that the first matching group gives a parameter."""
    for group in groups:
        if any(fnmatchcase(name, pattern) for pattern in group.patterns):
            return group.weight_decay, group.learning_rate_factor
    return None, 1.0


def _rates(net: Net) -> Iterator[tuple[str, float]]:
    for layer in net.layers:
        for blob, spec in zip(_BLOBS.get(layer.type, ()), layer.param, strict=False):
            if blob is not None:
                yield spec.name or f"{layer.name}.{blob}", float(spec.lr_mult)

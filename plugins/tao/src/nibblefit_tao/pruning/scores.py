"""How strong filters are: norms of layers, and one score for each class of coupled channels.

Source: tao_tensorflow2_backend, pruning (commit c252179a): L2 norms of kernels alone, in float32;
biases and batch norm play no part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.pruning.classes import KEPT
from nibblefit.pruning.coupling import Filters, Group
from nibblefit_tao.pruning.settings import Criterion, Normalizer, PruneSettings

Scores = npt.NDArray[np.float32]
#: Values whose squares are summed at once: 256 KiB of float32.
_CACHED = 65536


def filter_norms(graph: Graph, filters: Filters, *, batch_norm: bool = False) -> Scores:
    """Return the L2 norm of every filter, float32; with `batch_norm`, as that scales it.

    Raises:
        InputError: Weights are not finite, or too large to be squared.
    """
    weights = np.moveaxis(graph.constants[filters.constant], filters.axis, 0)
    rows = weights.reshape(len(weights), -1).astype(np.float32, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        norms: Scores = np.sqrt(_sums_of_squares(rows))
        if batch_norm:
            norms = norms * _batch_norm_gain(graph, filters)
    if not np.isfinite(norms).all():
        place = int(np.argmin(np.isfinite(norms)))
        raise InputError(f"filter {place} of layer '{filters.layer}' has no finite norm",
                         hint="its weights hold NaN, infinities or values beyond 1e19: train "
                         "again with a smaller learning rate")  # fmt: skip
    return norms


def _sums_of_squares(rows: Scores) -> Scores:
    """Return the sum of squares of every row, a few rows at a time: squares stay in the cache."""
    sums = np.empty(len(rows), dtype=np.float32)
    step = max(1, _CACHED // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        np.sum(part * part, axis=1, dtype=np.float32, out=sums[start : start + step])
    return sums


def normalized(norms: Scores, normalizer: Normalizer) -> Scores:
    """Return comparable scores; a layer of zeros scores zero (TAO: not a number)."""
    if normalizer is Normalizer.OFF or not norms.size or not norms.any():
        return norms
    if normalizer is Normalizer.MAX:
        scaled: Scores = norms / norms.max()
        return scaled
    total = np.sqrt(np.sum(norms**2, dtype=np.float32))
    against: Scores = norms * np.float32(len(norms)) / total
    return against


def class_scores(graph: Graph, group: Group, settings: PruneSettings) -> Scores:
    """Return one score for each class of a group that may be removed, in their order."""
    columns = [_member_scores(graph, group, member, settings) for member in group.members]
    return _merged(np.stack(columns), settings.criterion)


def _member_scores(graph: Graph, group: Group, member: Filters, settings: PruneSettings) -> Scores:
    """Return a member's score of every class of its group; NaN where it has no such filter.

    Several filters of one layer in one class (groups of a convolution, pixel shuffle, a depthwise
    multiplier) count as one filter made of all.
    """
    norms = filter_norms(graph, member, batch_norm=settings.batch_norm)
    scores = np.full(len(group.classes), np.nan, dtype=np.float32)
    free = member.classes != KEPT
    places = np.searchsorted(group.classes, member.classes[free])
    if len(np.unique(places)) == len(places):
        scores[places] = normalized(norms, settings.normalizer)[free]
        return scores
    sums = np.bincount(places, weights=norms[free].astype(np.float64) ** 2,
                       minlength=len(scores))  # fmt: skip
    present = np.unique(places)
    scores[present] = normalized(np.sqrt(sums[present]).astype(np.float32), settings.normalizer)
    return scores


def _merged(table: Scores, criterion: Criterion) -> Scores:
    """Merge the rows of a table; every column has an entry that is a number."""
    with np.errstate(divide="ignore"):
        merged = _MERGE[criterion](table)
    return np.asarray(merged, dtype=np.float32)


_MERGE: Mapping[Criterion, Callable[[Scores], npt.NDArray[Any]]] = {
    Criterion.UNION: lambda table: np.nanmax(table, axis=0),
    Criterion.INTERSECTION: lambda table: np.nanmin(table, axis=0),
    Criterion.ARITHMETIC_MEAN: lambda table: np.nanmean(table, axis=0),
    Criterion.GEOMETRIC_MEAN: lambda table: np.exp(np.nanmean(np.log(table), axis=0)),
}


def _batch_norm_gain(graph: Graph, filters: Filters) -> Scores:
    """Return |γ| / √(var + ε) of the batch norm behind the layer, ones without one."""
    consumers = graph.consumers()
    node = graph.node(filters.layer)
    readers = consumers[node.output]
    if len(readers) != 1 or readers[0].op is not Op.BATCH_NORM or len(filters.layers) > 1:
        return np.ones(len(filters.classes), dtype=np.float32)
    norm = readers[0]
    gamma, variance = graph.constants[norm.inputs[1]], graph.constants[norm.inputs[4]]
    gain = np.abs(gamma) / np.sqrt(variance + norm.attributes.get("epsilon", 1e-5))
    if len(gain) != len(filters.classes):
        gain = gain.reshape(-1, len(filters.classes)).max(axis=0)
    return np.asarray(gain, dtype=np.float32)

"""Calibration of a whole network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from nibblefit.errors import InputError, UnsupportedError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit_vitis.calibration.matched_bias import correct_biases
from nibblefit_vitis.calibration.one_pass import OnePass
from nibblefit_vitis.calibration.per_batch import PerBatch
from nibblefit_vitis.calibration.result import Calibrated
from nibblefit_vitis.calibration.samples import Kept, chunks
from nibblefit_vitis.calibration.workers import taken
from nibblefit_vitis.settings import Kind, NetworkSetting, Statistic

_MEASURED = (Kind.INPUT, Kind.ACTIVATION)


def calibrate(
    graph: Graph,
    setting: NetworkSetting,
    batches: Iterable[npt.NDArray[np.float32]],
    *,
    on_batch: Callable[[int], None] | None = None,
) -> Calibrated:
    """Return the formats of all tensors and the corrections of biases.

    With the statistic ``pooled`` everywhere, one pass over the data gives formats that do not
    depend on how it is batched. Any other statistic is one of batches, so they have a vote each;
    they run through the network rounded by what was found so far, as in the original. Biases are
    corrected by the original's steps with parity, otherwise in closed form.

    Args:
        graph: A prepared float graph (`nibblefit_vitis.preparation`), with one input.
        setting: What is asked for every tensor.
        batches: Inputs (count, channels, *spatial), read once; the first ones are kept for the
            correction of biases, so arrays may not be overwritten later.
        on_batch: Called with the number of samples of each finished batch.

    Raises:
        InputError: There is no calibration data, or a value is not finite; names the tensor.
        UnsupportedError: The network has several inputs, or a setting contradicts itself.
    """
    _refuse_several_inputs(graph)
    pooled = is_pooled(setting)
    calibration = OnePass(graph, setting) if pooled else PerBatch(graph, setting)
    closed_form = setting.include_bias_corr and not setting.parity and not pooled
    kept = Kept() if closed_form else None
    samples = _fed(calibration, batches, kept, pooled=pooled, on_batch=on_batch)
    if samples == 0:
        raise InputError(
            "there is no calibration data",
            hint="the training split is empty; check [data] and quantize.calibration_samples",
        )
    found = calibration.result()
    return found if kept is None else _with_biases(graph, found, setting, kept)


def _with_biases(graph: Graph, found: Calibrated, setting: NetworkSetting,
                 kept: Kept) -> Calibrated:  # fmt: skip
    """Return formats with biases corrected in closed form, and the corrections."""
    matched = correct_biases(graph, found.formats, setting, kept.samples)
    params = frozen_mapping({**found.formats.params, **matched.formats})
    formats = replace(found.formats, params=params)
    return replace(found, formats=formats, corrections=frozen_mapping(matched.corrections))


def _refuse_several_inputs(graph: Graph) -> None:
    if len(graph.inputs) != 1:
        raise UnsupportedError(
            f"network '{graph.name}' has {len(graph.inputs)} inputs; calibration feeds one",
            hint="quantize the part behind one input",
        )


def _fed(
    calibration: OnePass | PerBatch, batches: Iterable[npt.NDArray[np.float32]],
    kept: Kept | None, *, pooled: bool, on_batch: Callable[[int], None] | None,
) -> int:  # fmt: skip
    """Feed all batches, keep the first ones, and return the number of samples."""
    samples = 0
    filled = (batch for batch in batches if len(batch))
    side_by_side = torch.get_num_threads() if pooled else 1
    for some in taken(chunks(filled) if pooled else filled, side_by_side):
        calibration.add(some)
        for batch in some:
            samples += len(batch)
            if kept is not None:
                kept.add(batch)
            if on_batch is not None:
                on_batch(len(batch))
    return samples


def is_pooled(setting: NetworkSetting) -> bool:
    """Return whether every measured tensor has the statistic ``pooled``, and parity is off."""
    every = (setting.base, *setting.layers.values())
    statistics = {layer[kind].calib_statistic_method for layer in every for kind in _MEASURED}
    return not setting.parity and statistics == {Statistic.POOLED}

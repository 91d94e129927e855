"""Bias correction in closed form, against the rounded network itself.

For networks whose formats are final: every layer reads what the rounded layers before it make. One
pass over the data, of which only the mean input of each layer is kept, so batches do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit_vitis.calibration.mean_bias import MeanInputs
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.simulation import fake_quantized


def correct_biases(
    graph: Graph, formats: NetworkFormats, setting: NetworkSetting,
    batches: Iterable[npt.NDArray[np.float32]],
) -> Mapping[str, npt.NDArray[np.float64]]:  # fmt: skip
    """Return what to subtract from each float bias, by name of the bias constant.

    The sign is the original's: corrected bias = float bias − correction, and the correction is the
    mean over all samples and places of (rounded weights − weights) · input.

    Args:
        graph: A prepared float graph with one input.
        formats: Formats of its tensors.
        setting: What they were made for.
        batches: Calibration inputs.

    Raises:
        InputError: There are no batches.
    """
    simulation, means, samples = fake_quantized(graph, formats, setting), MeanInputs(graph), 0

    def watch(node: Node, inputs: Sequence[Tensor], output: Tensor) -> None:  # noqa: ARG001
        means.add(node, inputs[0])

    for batch in batches:
        simulation.watched(watch, batch)
        means.count(len(batch))
        samples += len(batch)
    if samples == 0:
        raise InputError(
            "bias correction got no calibration data",
            hint="set quantize.calibration_samples to 1 or more",
        )
    return frozen_mapping(means.corrections(setting, formats.params))

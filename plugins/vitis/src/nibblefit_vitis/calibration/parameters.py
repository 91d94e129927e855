"""Formats of constants: found once, from their values."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import torch

from nibblefit.ir.graph import Graph
from nibblefit_vitis.calibration.estimate import estimate
from nibblefit_vitis.calibration.workers import side_by_side, workers
from nibblefit_vitis.formats import TensorFormat
from nibblefit_vitis.grouping import Parameter, parameters
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.simulation.effective import effective


def parameter_formats(
    graph: Graph,
    setting: NetworkSetting,
    corrections: Mapping[str, npt.NDArray[np.float64]] | None = None,
    *,
    only: Collection[str] | None = None,
) -> dict[str, TensorFormat | None]:
    """Return the format of every constant, by name.

    Args:
        graph: A prepared float graph.
        setting: What is asked for.
        corrections: Subtracted from biases first, by name.
        only: Names of the constants wanted; None is all.
    """
    wanted = [one for one in parameters(graph) if only is None or one.name in only]

    def of(parameter: Parameter) -> TensorFormat:
        values = np.asarray(graph.constants[parameter.name], np.float32)
        if corrections and parameter.name in corrections:
            exact = np.asarray(graph.constants[parameter.name], np.float64)
            values = (exact - corrections[parameter.name]).astype(np.float32)
        return estimate(
            parameter.name,
            torch.from_numpy(np.array(values)),
            effective(setting, parameter.node.name, parameter.kind),
            axis=parameter.axis,
            parity=setting.parity,
        )

    with workers() as number:
        found = side_by_side(of, wanted, number)
    return dict(zip((parameter.name for parameter in wanted), found, strict=True))

"""The whole pipeline in parity mode beside recordings of the original: formats and outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from nibblefit.engine import Engine
from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.quantize import dequantize, quantize
from nibblefit.ir.graph import Graph
from nibblefit.nn.onnx_import import import_onnx
from nibblefit_vitis.configuration.read import read_configuration
from nibblefit_vitis.configuration.resolve import resolve
from nibblefit_vitis.formats import FixPosition, TensorFormat
from nibblefit_vitis.quantize.pipeline import Quantized, quantize_network
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.writing.naming import OriginalNames

#: Recording → the configuration it was made with.
RECORDED = {
    "dpu_default": "dpu_default", "dpu_maxmin_cfg": "dpu_maxmin", "dpu_cle_nobc": "dpu_cle_nobc",
    "dpu_nocle_bc": "dpu_nocle", "dpu_nocle_nobc": "dpu_nocle_nobc", "dpu_align": "dpu_align",
}  # fmt: skip
BATCH = 8


@pytest.fixture(scope="module")
def small(shared: Path) -> Graph:
    """Return the recorded float network."""
    return import_onnx(shared / "vendor/vitis/case_small/float.onnx")


@pytest.fixture(scope="module")
def samples(shared: Path) -> npt.NDArray[np.float32]:
    """Return the recorded calibration inputs."""
    found: npt.NDArray[np.float32] = np.load(shared / "vendor/vitis/case_small/calib_inputs.npz")[
        "x"
    ]
    return found


@pytest.fixture(scope="module", params=RECORDED)
def case(
    shared: Path, small: Graph, samples: npt.NDArray[np.float32], request: pytest.FixtureRequest
) -> tuple[Quantized, Path]:
    """Return our result and the folder of the recording."""
    setting = configured(shared, RECORDED[request.param], small)

    def batches() -> Iterator[npt.NDArray[np.float32]]:
        yield from (samples[i : i + BATCH] for i in range(0, len(samples), BATCH))

    return quantize_network(small, setting, batches), shared / "vendor/vitis/case_small" / str(
        request.param
    )


def configured(shared: Path, name: str, graph: Graph) -> NetworkSetting:
    """Return what a recorded configuration asks for."""
    file = shared / f"vendor/vitis/configs_used/{name}.json"
    return resolve(read_configuration(file, parity=True), graph, parity=True)[0]


def test_every_format_is_the_originals(case: tuple[Quantized, Path]) -> None:
    """Bits and fix positions of all tensors and parameters, after alignment."""
    result, folder = case
    stated = json.loads((folder / "quant_info.json").read_text())
    names = OriginalNames(result.prepared)
    outputs = {_bare(names.tensors[name]): _entry(fmt)
               for name, fmt in result.formats.outputs.items() if fmt is not None}  # fmt: skip
    assert outputs == {_bare(name): entry for name, entry in stated["output"].items()}
    params = sorted(_entry(fmt) for fmt in result.formats.params.values() if fmt is not None)
    assert params == sorted(stated["param"].values())


def test_integers_give_the_originals_outputs(
    case: tuple[Quantized, Path], samples: npt.NDArray[np.float32]
) -> None:
    """All 320 outputs of the float simulation are met exactly; none is a step off."""
    result, folder = case
    (name,), (end,) = result.graph.inputs, result.graph.outputs
    codes = quantize(samples.astype(np.float64), result.graph.tensors[name].format,
                     Rounding.HALF_UP)  # fmt: skip
    found = Engine(result.graph).run({name: codes}).outputs[end]
    real = dequantize(found, result.graph.tensors[end].format)
    np.testing.assert_array_equal(real, np.load(folder / "outputs.npz")["quant_out"])


def _bare(name: str) -> str:
    return name.partition("::")[2]


def _entry(fmt: TensorFormat) -> list[list[int]]:
    assert isinstance(fmt, FixPosition)
    return [[fmt.bits, fmt.position]]

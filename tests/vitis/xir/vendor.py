"""The vendor's small network: from its float ONNX file, with the constants of its xmodel."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.nn.onnx_import import import_onnx
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.preparation import prepare_graph
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.writing.naming import OriginalNames
from nibblefit_vitis.writing.quant_info import read_quant_info
from nibblefit_vitis.xir.graph import XirGraph

PARITY = NetworkSetting(parity=True)


def prepared(folder: Path, *, relu6: bool = False) -> Graph:
    """Return the network as prepared, nothing equalized: with equalization ReLU6 became ReLU."""
    setting = replace(PARITY, convert_relu6_to_relu=not relu6, include_cle=False)
    graph = prepare_graph(import_onnx(folder / "case_small/float.onnx"), setting).graph
    return replace(graph, name="SmallCNN")


def recorded(graph: Graph, file: Path) -> NetworkFormats:
    """Return the formats of a recorded quant_info.json."""
    return read_quant_info(file.read_text(encoding="utf-8"), graph).formats


def with_constants_of(graph: Graph, xmodel: XirGraph) -> Graph:
    """Return the network with the parameters of the vendor's xmodel, rearranged by hand."""
    held = {op.name: np.frombuffer(op.value("data"), "<f4").reshape(op.value("shape"))
            for op in xmodel.operators if op.kind == "const"}  # fmt: skip
    constants = {}
    for name, original in OriginalNames(graph).parameters.items():
        array = held[original.replace("::", "__").replace(".", "_")]
        constants[name] = _rearranged(array, graph.constants[name].shape)
    return replace(graph, constants=frozen_mapping(constants))


def _rearranged(array: npt.NDArray[np.float32],
                shape: tuple[int, ...]) -> npt.NDArray[np.float32]:  # fmt: skip
    """Return (out, h, w, in) or depthwise (1, h, w, channels) as ours."""
    if array.ndim < 4:
        return array.reshape(shape)
    found = array.transpose(3, 0, 1, 2) if shape[1] == 1 else array.transpose(0, 3, 1, 2)
    assert found.shape == shape
    return found


def recorded_codes(folder: Path, case: str) -> dict[str, npt.NDArray[np.int8]]:
    """Return the recorded codes of all parameters by the original's name."""
    with np.load(folder / f"case_small/{case}/quantized_params_int8.npz") as held:
        return {name: held[name] for name in held}


def position_of(file: Path, block: str, key: str) -> int:
    """Return a fix position straight from a recorded quant_info.json."""
    body = json.loads(file.read_text(encoding="utf-8"))
    return int(body[block][key][0][1])

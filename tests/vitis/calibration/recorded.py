"""The original's recording ``case_small``: its network, parameters and results by our names."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_import import import_onnx

#: Module of the original → names of weights and bias in the exported file.
PARAMETERS = {
    "conv1": ("onnx::Conv_42", "onnx::Conv_43"), "dw": ("onnx::Conv_45", "onnx::Conv_46"),
    "pw": ("pw.weight", "pw.bias"), "b1": ("b1.weight", "b1.bias"),
    "b2": ("b2.weight", "b2.bias"), "fc": ("fc.weight", "fc.bias"),
}  # fmt: skip
#: Rounded tensors in the order in which the original lists them.
TENSORS = ("input", "act1.Clip", "act2.Relu", "act3.LeakyRelu", "Concat", "pool.MaxPool", "hs.Mul",
           "avg.AveragePool", "fc.Gemm")  # fmt: skip
#: Configurations: the folder of prepared parameters, and whether it equalized and corrected.
CASES = {
    "dpu_nocle_nobc": ("dpu_nocle_nobc", False, False),
    "dpu_nocle_bc": ("dpu_nocle_nobc", False, True),
    "dpu_cle_nobc": ("dpu_default", True, False),
    "dpu_default": ("dpu_default", True, True),
    "dpu_maxmin_cfg": ("dpu_default", True, True),
    "dpu_align": ("dpu_default", True, True),
}
BATCH = 8


@dataclass(frozen=True)
class Recording:
    """One configuration of the original, with the parameters it prepared.

    Attributes:
        graph: Batch norm folded, equalized where the original did; ReLU for ReLU6 there.
        positions: Of parameters and tensors.
        history: Positions per batch.
        corrections: Of biases.
        outputs: Float and quantized outputs of all inputs.
    """

    graph: Graph
    inputs: npt.NDArray[np.float32]
    positions: dict[str, int]
    history: dict[str, list[int]]
    corrections: dict[str, npt.NDArray[np.float64]]
    outputs: dict[str, npt.NDArray[np.float32]]

    @property
    def batches(self) -> list[npt.NDArray[np.float32]]:
        """The inputs as they were calibrated on."""
        return [self.inputs[i : i + BATCH] for i in range(0, len(self.inputs), BATCH)]


def constant_name(key: str) -> str:
    """Return our name of ``SmallCNN::layer.weight``."""
    layer, word = key.split("::")[1].split(".")
    return PARAMETERS[layer][word == "bias"]


def prepared_graph(folder: Path, parameters: str, *, equalized: bool) -> Graph:
    """Return the network with the parameters that the original calibrated."""
    stored = np.load(folder / parameters / "params_after_bnfold_cle.npz")
    graph = import_onnx(folder / "float.onnx")
    graph = graph.with_constants({constant_name(key): stored[key] for key in stored})
    if not equalized:
        return graph
    nodes = tuple(
        replace(node, op=Op.RELU, attributes=frozen_mapping()) if node.op is Op.CLIP else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes)


def load(shared: Path, name: str) -> Recording:
    """Return one recorded configuration."""
    folder = shared / "vendor/vitis/case_small"
    parameters, equalized, corrected = CASES[name]
    graph = prepared_graph(folder, parameters, equalized=equalized)
    info: dict[str, Any] = json.loads((folder / name / "quant_info.json").read_text())
    positions = {constant_name(key): entry[0][1] for key, entry in info["param"].items()}
    positions |= {ours: e[0][1] for ours, e in zip(TENSORS, info["output"].values(), strict=True)}
    history = json.loads((folder / name / "output_fixpos_history.json").read_text())
    corrections = {}
    if corrected:
        stored = json.loads((folder / name / "bias_corr.json").read_text())
        biases = [names[1] for names in PARAMETERS.values()]
        corrections = {
            ours: np.array(values) for ours, values in zip(biases, stored.values(), strict=True)
        }
    return Recording(
        graph, np.load(folder / "calib_inputs.npz")["x"], positions,
        {ours: found[0] for ours, found in zip(TENSORS, history.values(), strict=True)},
        corrections, dict(np.load(folder / name / "outputs.npz")),
    )  # fmt: skip

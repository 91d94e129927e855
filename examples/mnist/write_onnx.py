"""Writes the network of small_cnn.py as an ONNX file, untrained, as if it came from elsewhere.

python examples/mnist/write_onnx.py runs/small_cnn.onnx
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import torch

NETWORK = Path(__file__).resolve().parents[1] / "networks" / "small_cnn.py"


def write(path: Path, seed: int = 0) -> None:
    """Write the file with random weights.

    Args:
        path: Where to.
        seed: Decides the weights.
    """
    network = runpy.run_path(str(NETWORK))
    torch.manual_seed(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        network["build"]().eval(),
        (torch.zeros(1, *network["INPUT_SHAPE"]),),
        str(path),
        input_names=["image"],
        output_names=["scores"],
        # Batch norm stays an operator of its own, so that training can go on with it.
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        dynamo=False,
    )


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/small_cnn.onnx"))

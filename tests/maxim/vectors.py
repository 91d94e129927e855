"""The vendor's vectors: where they lie and how they become inputs of our reader."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nibblefit.ir.quantized import QuantizedGraph
from nibblefit_maxim.parts import Part, part_named
from nibblefit_maxim.reading.checkpoint import LayerParameters
from nibblefit_maxim.reading.entries import NetworkEntry, read_entries
from nibblefit_maxim.reading.network import build_network, read_files

VENDOR = Path(__file__).resolve().parents[3] / "shared" / "vendor" / "maxim"

NETS = (
    "autoenc", "catsdogs-fifo", "catsdogs-nofifo78002", "cifar10-abs", "cifar10-nas",
    "fire2-cifar10", "kws20-v3", "mnist", "mnist-xs", "mnist80exp-q4",
)  # fmt: skip


def names_in(folder: str, suffix: str) -> list[str]:
    """Return the stems of the vendor's files; one stand-in where the vectors are absent."""
    found = sorted(path.name.removesuffix(suffix) for path in (VENDOR / folder).glob(f"*{suffix}"))
    return found or ["vectors-absent"]


@dataclass(frozen=True)
class VendorCase:
    """A graph read from the vendor's files, its input, and what every layer must write."""

    graph: QuantizedGraph
    input: np.ndarray
    expected: dict[str, np.ndarray]


def net(folder: Path) -> VendorCase:
    """Read one network with its checkpoint."""
    facts = json.loads((folder / "expected.json").read_text())
    x = np.load(folder / "input.npz")["x"]
    graph = read_files(
        folder / "net.yaml", folder / "quantized.pth.tar", x.shape,
        part_named(facts["device"]), fifo="--fifo" in facts["flags"],
    )  # fmt: skip
    with np.load(folder / "expected.npz") as arrays:
        return VendorCase(graph, x, dict(arrays))


def micro(stem: Path) -> VendorCase:
    """Read one single-purpose network; its weights lie in the vector file."""
    facts = json.loads(Path(f"{stem}.json").read_text())
    part = part_named(facts["device"])
    with np.load(f"{stem}.npz") as loaded:
        arrays = dict(loaded)
    entry = read_entries(Path(f"{stem}.yaml").read_text(), f"{stem.name}.yaml", part)
    parameters = [
        parameters_of(arrays, layer, entry)
        for layer in facts["layers"]
        if layer["op"] != "passthrough" and not layer["bypass"]
    ]
    graph = build_network(entry, parameters, arrays["input"].shape, part)
    expected = {entry.layers[i].name: arrays[f"L{i:02d}_out"] for i in range(len(facts["layers"]))}
    return VendorCase(graph, arrays["input"], expected)


def parameters_of(
    arrays: dict[str, np.ndarray], layer: dict[str, Any], entry: NetworkEntry
) -> LayerParameters:
    """Return stored parameters as a checkpoint would hold them."""
    index = layer["layer"]
    weights = arrays[f"L{index:02d}_kernel"].astype(np.float64)
    if entry.layers[index].operator.value == "linear":
        weights = weights.reshape(weights.shape[0], -1)
    if layer["op"] == "convtranspose2d":
        # The tool holds the kernel flipped and with inputs and outputs swapped.
        weights = np.flip(weights.swapaxes(0, 1), (2, 3)).copy()
    bits = {0: 8, -1: 1}.get(layer["quantization"], layer["quantization"])
    bias = arrays.get(f"L{index:02d}_bias")
    stored = None if bias is None else bias.astype(np.float64) * 2.0 ** (bits - 1)
    return LayerParameters(f"L{index}", weights, stored, bits, None)


def rejected() -> list[dict[str, Any]]:
    """Return the vendor's list of mutated files and verdicts; empty where absent."""
    path = VENDOR / "reject" / "results.json"
    return json.loads(path.read_text()) if path.is_file() else []


REJECT_BASES = {"mnist": "mnist", "kws": "kws20-v3", "cd": "catsdogs-fifo"}


def read_mutated(case: dict[str, Any]) -> QuantizedGraph:
    """Read one mutated file with the checkpoint of the network it came from."""
    folder = VENDOR / "nets" / REJECT_BASES[case["base"]]
    part: Part = part_named(case["device"])
    shape = np.load(folder / "input.npz")["x"].shape
    return read_files(
        VENDOR / "reject" / f"{case['case']}.yaml", folder / "quantized.pth.tar", shape, part,
        fifo="--fifo" in case["flags"],
    )  # fmt: skip

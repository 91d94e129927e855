"""Caffe layers that cannot be represented: why, and the nearest thing that works."""

from __future__ import annotations

from collections.abc import Mapping

from nibblefit.errors import did_you_mean

_STATISTICS = ("its statistics depend on the data at run time", "use BatchNorm")
_RECURRENT = ("recurrent layers keep a state between steps", "use convolutions over the time axis")
_SMOOTH = ("this function has no operator in the graph", "use ReLU or PReLU, and retrain")
_CODE = ("it runs code that no file holds", "write the network with Caffe's own layers")

KNOWN: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("LRN", "MVN", "Normalize"), _STATISTICS),
    **dict.fromkeys(("RNN", "LSTM", "LSTMUnit", "Recurrent"), _RECURRENT),
    **dict.fromkeys(("ELU", "Exp", "Log", "BNLL", "Threshold"), _SMOOTH),
    **dict.fromkeys(("Python", "Filter", "BatchReindex", "Parameter", "HDF5Output"), _CODE),
    "SPP": ("its windows differ in size", "use Pooling layers with fixed kernels and Concat"),
    "Tile": ("it repeats a tensor", "use Concat"),
    "Embed": ("it looks words up in a table", "start the network behind it"),
    "Im2col": ("it only prepares a product of matrices", "use Convolution"),
    "Reduction": ("only the convolutional layers are represented", "use a global average Pooling"),
}
_OTHER_TYPES = ("Input", "Data", "SoftmaxWithLoss", "Accuracy", "DetectionOutput", "PriorBox")


def reason_for(kind: str, handled: tuple[str, ...]) -> tuple[str, str]:
    """Return why a layer type is refused and what to do instead."""
    if kind in KNOWN:
        return KNOWN[kind]
    return ("there is no such Caffe layer here", did_you_mean_type(kind, handled))


def did_you_mean_type(kind: str, handled: tuple[str, ...]) -> str:
    """Return the closest layer type as a question; names differ from words in their capitals."""
    plain = {name.lower(): name for name in (*handled, *KNOWN, *_OTHER_TYPES)}
    said = did_you_mean(kind, plain)
    if not said.startswith("did"):
        return "remove the layer, or write it with layers that exist"
    return f"did you mean '{plain[said.split(chr(39))[1]]}'?"

"""What is measured side by side: every way to execute a network, ready to be called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from networks import FloatNetwork, Network, Quantized, quantize
from torch import Tensor

from nibblefit.engine import Engine
from nibblefit.fixed.formats import IntArray
from nibblefit.ir import reference

#: Executes the whole batch once.
Once = Callable[[], object]


class SkippedError(Exception):
    """A contender cannot run here; the text says why."""


@dataclass(frozen=True)
class Subject:
    """One network, quantized, with one batch of images and a number of threads."""

    network: Network
    quantized: Quantized
    images: Tensor
    threads: int

    @property
    def batch(self) -> int:
        """Images per call."""
        return len(self.images)


def subject(network: Network, batch: int, threads: int) -> Subject:
    """Return a network with seeded images other than those of its calibration."""
    return Subject(network, quantize(network), network.images(batch, seed=7), threads)


def judge(s: Subject) -> Once:
    """Return the judge: numpy, every tensor kept."""
    graph, codes = s.quantized.graph(), s.images.numpy()
    return lambda: reference.run(graph, {"x": codes})


def engine(s: Subject) -> Once:
    """Return the engine."""
    compiled = Engine(s.quantized.graph(), threads=s.threads)
    return lambda: compiled.run({"x": s.images})


def _torch(s: Subject, memory_format: torch.memory_format) -> Once:
    module = FloatNetwork(s.network).eval().to(memory_format=memory_format)
    images = (s.images.float() / 128).contiguous(memory_format=memory_format)

    def once() -> object:
        with torch.inference_mode():
            return module(images)

    return once


def torch_float(s: Subject) -> Once:
    """Return torch in float32, channels first."""
    return _torch(s, torch.contiguous_format)


def torch_channels_last(s: Subject) -> Once:
    """Return torch in float32, channels last."""
    return _torch(s, torch.channels_last)


def _onnx(
    s: Subject, model: bytes, codes: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
) -> Once:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = s.threads, 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": codes})


def onnx_qdq(s: Subject) -> Once:
    """Return ONNX Runtime on the QDQ model."""
    try:
        from onnx_models import qdq_model
    except ImportError as missing:
        raise SkippedError(f"{missing.name} is not installed") from missing
    return _onnx(s, qdq_model(s.quantized), s.images.numpy())


def onnx_integer(s: Subject) -> Once:
    """Return ONNX Runtime on the model of integer operators."""
    try:
        from onnx_models import integer_model
    except ImportError as missing:
        raise SkippedError(f"{missing.name} is not installed") from missing
    codes = (s.images.to(torch.int16) + 128).to(torch.uint8).numpy()
    return _onnx(s, integer_model(s.quantized), codes)


def tosa(s: Subject) -> Once:
    """Return the TOSA reference model, after checking that it gives the judge's integers."""
    try:
        from tosa_model import TosaNetwork
    except ImportError as missing:
        raise SkippedError("package tosa-tools is not installed") from missing
    model, codes = TosaNetwork(s.quantized, s.batch), s.images.numpy()
    expected = _logits(s, reference.run(s.quantized.graph(), {"x": codes}).outputs)
    if not np.array_equal(model.run(codes), expected):
        raise SkippedError("its integers differ from the judge's")
    return lambda: model.run(codes)


def _logits(s: Subject, outputs: object) -> IntArray:
    return np.asarray(outputs[s.network.output])  # type: ignore[index]


def require_equal(s: Subject) -> None:
    """Stop the benchmark unless engine and judge agree on every tensor of the images."""
    graph = s.quantized.graph()
    expected = reference.run(graph, {"x": s.images.numpy()})
    found = Engine(graph, threads=s.threads).run({"x": s.images}, keep="all")
    for name, codes in expected.tensors.items():
        if not np.array_equal(found.tensors[name], codes):
            raise SystemExit(f"{s.network.name}: engine and judge differ in tensor '{name}'")


#: In the order of the tables.
CONTENDERS: dict[str, Callable[[Subject], Once]] = {
    "engine": engine,
    "ONNX Runtime, integer operators": onnx_integer,
    "ONNX Runtime, QDQ": onnx_qdq,
    "torch float32, channels last": torch_channels_last,
    "torch float32": torch_float,
    "judge": judge,
    "TOSA reference model": tosa,
}
#: Too slow for the larger batch, which changes nothing for them.
ONE_IMAGE_ONLY = frozenset({"TOSA reference model"})

"""Quantizers that race on one network and the same images; each runs in a process of its own.

Run as ``python vitis_contenders.py NAME FOLDER``; prints one line of JSON. FOLDER holds
``network.onnx``, ``images.npy`` and ``scores.npy``, the float network's outputs.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
#: Quantizes once, and returns what gives scores for images.
Work = Callable[[], Callable[[Array], Array]]
BATCH = 8


class SkippedError(Exception):
    """A contender cannot run here; the text says why."""


def batches(images: Array) -> list[Array]:
    """Return the images in batches of eight."""
    return [images[i : i + BATCH] for i in range(0, len(images), BATCH)]


def ours(kind: str) -> Callable[[Path, Array], Work]:
    """Return our quantizer, from the float graph to the integer graph."""

    def prepared(folder: Path, images: Array) -> Work:
        from benchmarks.vitis_settings import SETTINGS
        from nibblefit.nn.onnx_import import import_onnx
        from nibblefit_vitis.quantize.pipeline import quantize_network

        graph, setting = import_onnx(folder / "network.onnx"), SETTINGS[kind]

        def work() -> Callable[[Array], Array]:
            found = quantize_network(graph, setting, lambda: batches(images))
            return lambda x: integer_scores(found, x)

        return work

    return prepared


def integer_scores(found: Any, images: Array) -> Array:
    """Return what the integers mean, executed by the engine."""
    from nibblefit.engine import Engine
    from nibblefit.fixed.formats import Rounding
    from nibblefit.fixed.quantize import dequantize, quantize

    engine, (name,), (out,) = Engine(found.graph), found.graph.inputs, found.graph.outputs
    tensors = found.graph.tensors
    scores = [
        dequantize(
            np.asarray(
                engine.run({name: quantize(x, tensors[name].format, Rounding.HALF_AWAY)}).outputs[
                    out
                ]
            ),
            tensors[out].format,
        )
        for x in batches(images)
    ]
    return np.concatenate(scores).astype(np.float32)


class Reader:
    """Feeds images to quantizers of ONNX files."""

    def __init__(self, name: str, images: Array) -> None:
        self._name, self._images = name, images
        self.rewind()

    def __len__(self) -> int:
        return len(batches(self._images))

    def rewind(self) -> None:
        """Start again."""
        self._left = iter(batches(self._images))

    def get_next(self) -> dict[str, Array] | None:
        """Return the next batch by input name, None after the last."""
        batch = next(self._left, None)
        return None if batch is None else {self._name: batch}

    def set_range(self, start_index: int, end_index: int) -> None:
        """Feed a part of the images (ONNX Runtime asks for it)."""
        self._left = iter(batches(self._images)[start_index:end_index])


def session_scores(path: Path, images: Array) -> Array:
    """Return the scores of an ONNX file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: x})[0] for x in batches(images)])


def onnx_runtime(method: str) -> Callable[[Path, Array], Work]:
    """Return ONNX Runtime's static quantization, symmetric int8 in QDQ form."""

    def prepared(folder: Path, images: Array) -> Work:
        try:
            from onnxruntime import quantization as q
        except ImportError as missing:
            raise SkippedError(f"package {missing.name} is not installed") from missing

        class Feed(Reader, q.CalibrationDataReader):  # type: ignore[misc]
            pass

        def work() -> Callable[[Array], Array]:
            q.quantize_static(
                folder / "network.onnx", folder / f"{method}.onnx", Feed("x", images),
                quant_format=q.QuantFormat.QDQ, activation_type=q.QuantType.QInt8,
                weight_type=q.QuantType.QInt8,
                calibrate_method=getattr(q.CalibrationMethod, method),
                extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
            )  # fmt: skip
            return lambda x: session_scores(folder / f"{method}.onnx", x)

        return work

    return prepared


def quark(folder: Path, images: Array) -> Work:
    """Return AMD Quark with its preset XINT8: int8, powers of two."""
    try:
        from onnxruntime.quantization import CalibrationDataReader
        from quark.onnx import ModelQuantizer
        from quark.onnx.quantization.config import Config, get_default_config
    except ImportError as missing:
        raise SkippedError(f"package {missing.name} is not installed") from missing

    class Feed(Reader, CalibrationDataReader):  # type: ignore[misc]
        pass

    def work() -> Callable[[Array], Array]:
        config = Config(global_quant_config=get_default_config("XINT8"))
        source, made = str(folder / "network.onnx"), folder / "quark.onnx"
        ModelQuantizer(config).quantize_model(source, str(made), Feed("x", images))
        return lambda x: session_scores(made, x)

    return work


CONTENDERS: dict[str, Callable[[Path, Array], Work]] = {
    "ours, power of two": ours("power of two"),
    "ours, float scale": ours("float scale"),
    "ONNX Runtime MinMax": onnx_runtime("MinMax"),
    "ONNX Runtime Entropy": onnx_runtime("Entropy"),
    "AMD Quark XINT8": quark,
}


def resident(key: str) -> float:
    """Return VmRSS or VmHWM of this process in GB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024 / 1e9
    return float("nan")


def measured(name: str, folder: Path) -> dict[str, Any]:
    """Return seconds, GB above what was there before, and decibels of one contender."""
    images, exact = np.load(folder / "images.npy"), np.load(folder / "scores.npy")
    work = CONTENDERS[name](folder, images)
    # The peak counts from here on: the model, the images and all code are loaded.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before, start = resident("VmRSS"), time.perf_counter()
    scores = work()
    seconds, peak = time.perf_counter() - start, resident("VmHWM") - before
    noise = float(((scores(images) - exact) ** 2).sum())
    ratio = 10 * np.log10(float((exact**2).sum()) / noise)
    return {"seconds": seconds, "gigabytes": peak, "decibels": float(ratio)}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    try:
        found = measured(sys.argv[1], Path(sys.argv[2]))
    except SkippedError as reason:
        found = {"skipped": str(reason)}
    print("\n" + json.dumps(found))

"""Compile and run an ONNX model with ONNX Runtime and TI's TIDL provider.

Stands alone: needs numpy and onnxruntime, and Pillow for --images. Without TI's onnxruntime the
model runs on the CPU instead, and the script says so.

    python run_model.py compile float           compiles float.onnx with float_options.json
    python run_model.py run float               runs it with what was compiled
    python run_model.py run float --cpu         runs it on the CPU
    python run_model.py run any.onnx --seed 3   runs any model on random inputs
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Iterator  # noqa: UP035 - boards have Python 3.8

import numpy as np

COMPILER, RUNNER, CPU = "TIDLCompilationProvider", "TIDLExecutionProvider", "CPUExecutionProvider"
TYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16, "tensor(int32)": np.int32, "tensor(uint32)": np.uint32,
    "tensor(int64)": np.int64, "tensor(uint64)": np.uint64, "tensor(bool)": np.bool_,
}  # fmt: skip
PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm"}
HERE = Path(__file__).resolve().parent


class StopError(Exception):
    """Something the user can put right; the text says what to do."""


def say(text: str) -> None:
    """Show one line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """Show one line that asks for attention."""
    sys.stderr.write(f"warning: {text}\n")


def parse(words: list[str] | None) -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["compile", "run"])
    parser.add_argument("model", help="name of a model in this folder, or path of an .onnx file")
    parser.add_argument("--options", type=Path, help="JSON options of the TIDL provider")
    parser.add_argument("--artifacts", type=Path, help="folder of compiled files")
    parser.add_argument("--tools", type=Path, help="folder of TI's tools; else TIDL_TOOLS_PATH")
    parser.add_argument("--frames", type=int, default=0, help="number of inputs; 0: as in options")
    parser.add_argument("--list", type=Path, help="list of raw input files, one a line")
    parser.add_argument("--images", type=Path, help="folder of pictures to use as inputs")
    parser.add_argument("--seed", type=int, help="use random inputs with this seed")
    parser.add_argument(
        "--highest",
        type=int,
        default=1,
        help="largest random int32 or int64, such as the last index of a table",
    )
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=1,3,224,224",
        help="shape of an input whose model leaves it open",
    )
    parser.add_argument("--cpu", action="store_true", help="do not use TIDL")
    parser.add_argument("--save", type=Path, help="write the outputs of all inputs to an .npz")
    return parser.parse_args(words)


def files_of(arguments: argparse.Namespace) -> tuple[Path, dict[str, Any], Path]:
    """Return model, provider options and artifacts folder."""
    model = Path(arguments.model)
    if model.suffix != ".onnx":
        model = HERE / f"{arguments.model}.onnx"
    if not model.is_file():
        raise StopError(
            f"there is no model {model}; here are: "
            + (", ".join(path.stem for path in sorted(HERE.glob("*.onnx"))) or "none")
        )
    options = arguments.options or model.with_name(f"{model.stem}_options.json")
    values: dict[str, Any] = {}
    if options.is_file():
        try:
            values = json.loads(options.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StopError(f"{options} is not readable as JSON: {error}") from error
    elif arguments.options:
        raise StopError(f"there is no file {options}")
    return model, values, arguments.artifacts or model.with_name(f"{model.stem}_artifacts")


def provider_of(arguments: argparse.Namespace, available: list[str]) -> str:
    """Return the provider to use, after saying why if it is the CPU."""
    wanted = COMPILER if arguments.action == "compile" else RUNNER
    if arguments.cpu:
        return CPU
    if wanted not in available:
        warn(
            f"this onnxruntime has no {wanted} (it has {', '.join(available)}): running on the "
            "CPU, nothing is compiled or accelerated; install the onnxruntime of TI's tools"
        )
        return CPU
    return wanted


def prepared(
    provider: str, values: dict[str, Any], arguments: argparse.Namespace, artifacts: Path
) -> dict[str, str]:
    """Return the provider's options, with the folders checked."""
    if provider == CPU:
        return {}
    tools = str(arguments.tools or os.environ.get("TIDL_TOOLS_PATH", ""))
    if provider == COMPILER:
        if not tools:
            raise StopError("set TIDL_TOOLS_PATH, or --tools, to the folder of TI's tools")
        artifacts.mkdir(parents=True, exist_ok=True)
        if any(artifacts.iterdir()):
            raise StopError(f"{artifacts} is not empty: old and new files would be mixed; empty it")
    elif not (artifacts / "allowedNode.txt").is_file():
        raise StopError(
            f"{artifacts} has no allowedNode.txt, so all would run on ARM; compile first"
        )
    found = {**values, "tidl_tools_path": tools, "artifacts_folder": str(artifacts)}
    return {key: str(value) for key, value in found.items()}


def shape_of(node: Any, given: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape of an input; axes that the model leaves open are 1."""
    if node.name in given:
        return given[node.name]
    shape = tuple(axis if isinstance(axis, int) and axis > 0 else 1 for axis in node.shape)
    if any(not isinstance(axis, int) or axis < 1 for axis in node.shape[1:]):
        warn(f"input '{node.name}' has shape {node.shape}; open axes are taken as 1, see --shape")
    return shape


def type_of(node: Any) -> Any:
    """Return the element type of an input."""
    if node.type not in TYPES:
        raise StopError(f"input '{node.name}' is {node.type}, which this script cannot make")
    return TYPES[node.type]


def random_feeds(
    nodes: list[Any], shapes: dict[str, tuple[int, ...]], count: int, arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yield random inputs of any model."""
    random = np.random.default_rng(arguments.seed or 0)
    for _ in range(count):
        feed = {}
        for node in nodes:
            kind, shape = type_of(node), shapes[node.name]
            if np.issubdtype(kind, np.floating):
                feed[node.name] = random.uniform(0.0, 1.0, shape).astype(kind)
            else:
                small = np.dtype(kind).itemsize <= 2 and kind is not np.bool_
                high = np.iinfo(kind).max if small else min(arguments.highest, 1 << 31)
                low = np.iinfo(kind).min if small else 0
                feed[node.name] = random.integers(low, high, shape, endpoint=True).astype(kind)
        yield feed


def single(nodes: list[Any], what: str) -> Any:
    """Return the only input of a model."""
    if len(nodes) != 1:
        raise StopError(f"{what} feed one input, the model has {len(nodes)}: use --seed")
    return nodes[0]


def pixel_scaling() -> tuple[Any, Any] | None:
    """Return mean and scale per channel from pixels to real inputs, None if they are unknown."""
    path = HERE / "pixels.json"
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        mean, scale = (np.asarray(found[key], np.float32) for key in ("mean", "scale"))
    except (ValueError, KeyError, TypeError) as error:
        raise StopError(f"{path} does not hold mean and scale: {error!r}") from error
    return mean, scale


def as_codes(values: Any, kind: Any) -> Any:
    """Return real inputs (batch, channels, ...) as integers; normalizing them is undone."""
    scaling = pixel_scaling() if np.dtype(kind) == np.uint8 else None
    if scaling is not None and values.ndim > 1 and scaling[0].size in (1, values.shape[1]):
        mean, scale = (entry.reshape(1, -1, *(1,) * (values.ndim - 2)) for entry in scaling)
        values = values / scale + mean
    limits = np.iinfo(kind)
    return np.clip(np.rint(values), limits.min, limits.max)


def raw_feeds(
    nodes: list[Any], shapes: dict[str, tuple[int, ...]], listed: Path, count: int
) -> Iterator[dict[str, Any]]:
    """Yield inputs from raw files of the input's type; normalized floats serve pixels, too."""
    node = single(nodes, "raw files")
    kind, shape = type_of(node), shapes[node.name]
    lines = [line.strip() for line in listed.read_text(encoding="utf-8").splitlines()]
    names = [line for line in lines if line][: count or None]
    if not names:
        raise StopError(f"{listed} names no file: the list of inputs is empty")
    for name in names:
        path = HERE / name if not Path(name).is_absolute() else Path(name)
        if not path.is_file():
            raise StopError(f"{listed} names {path}, which does not exist")
        raw, size = path.read_bytes(), int(np.prod(shape))
        stored = np.dtype(kind) if len(raw) == size * np.dtype(kind).itemsize else np.dtype("<f4")
        if len(raw) != size * stored.itemsize:
            raise StopError(
                f"{path} has {len(raw)} bytes; input '{node.name}' {shape} takes "
                f"{size * np.dtype(kind).itemsize}"
            )
        values = np.frombuffer(raw, stored).reshape(shape)
        if stored != np.dtype(kind):
            values = as_codes(values, kind)
        yield {node.name: values.astype(kind)}


def image_feeds(
    nodes: list[Any], shapes: dict[str, tuple[int, ...]], folder: Path, count: int
) -> Iterator[dict[str, Any]]:
    """Yield pictures, resized to the input; floats are scaled as pixels.json says."""
    try:
        from PIL import Image
    except ImportError as error:
        raise StopError("--images needs Pillow: pip install pillow") from error
    # Pillow before 9.1 has the filter in the module itself.
    filtering = getattr(Image, "Resampling", Image).BILINEAR
    node = single(nodes, "pictures")
    kind, shape = type_of(node), shapes[node.name]
    if len(shape) != 4:
        raise StopError(f"input '{node.name}' has shape {shape}; pictures need four axes")
    last = shape[3] in (1, 3) and shape[1] not in (1, 3)
    channels, rows, columns = (shape[3], *shape[1:3]) if last else shape[1:]
    if channels not in (1, 3):
        raise StopError(f"input '{node.name}' has {channels} channels; pictures have 1 or 3")
    found = [
        path
        for path in sorted(folder.iterdir() if folder.is_dir() else [])
        if path.suffix.lower() in PICTURES
    ][: count or None]
    if not found:
        raise StopError(f"{folder} holds no pictures ({', '.join(sorted(PICTURES))})")
    scaling = pixel_scaling()
    if scaling is None and np.issubdtype(kind, np.floating):
        say("there is no pixels.json beside this script: pictures are fed as pixels of 0 to 255")
    mean, scale = scaling or (np.zeros(1, np.float32), np.ones(1, np.float32))
    for path in found:
        picture = Image.open(path).convert("L" if channels == 1 else "RGB")
        pixels = np.asarray(picture.resize((columns, rows), filtering))
        pixels = pixels.reshape(rows, columns, channels)
        values = (pixels - mean) * scale if np.issubdtype(kind, np.floating) else pixels
        ordered = values if last else np.moveaxis(values, 2, 0)
        yield {node.name: np.repeat(ordered[None], shape[0], axis=0).astype(kind)}


def feeds_of(
    nodes: list[Any], arguments: argparse.Namespace, count: int
) -> Iterator[dict[str, Any]]:
    """Yield inputs: pictures, a list of raw files, or random ones."""
    given = {}
    for one in arguments.shape:
        name, _, axes = one.partition("=")
        try:
            given[name] = tuple(int(axis) for axis in axes.split(","))
        except ValueError as error:
            raise StopError(f"--shape {one}: write NAME=1,3,224,224") from error
    shapes = {node.name: shape_of(node, given) for node in nodes}
    listed = arguments.list or HERE / "calibration" / "list.txt"
    if arguments.images:
        return image_feeds(nodes, shapes, arguments.images, count)
    own = Path(arguments.model).suffix != ".onnx"
    if arguments.list or (arguments.seed is None and own and listed.is_file()):
        if not listed.is_file():
            raise StopError(f"there is no list {listed}")
        return raw_feeds(nodes, shapes, listed, count)
    say(f"inputs are random, seed {arguments.seed or 0}")
    return random_feeds(nodes, shapes, count or 1, arguments)


def show(name: str, values: Any) -> None:
    """Say what one output is."""
    array = np.asarray(values)
    if not array.size or array.dtype.kind not in "fiub":
        say(f"  {name}: {array.dtype} {array.shape}")
        return
    largest = int(array.reshape(-1).argmax())
    say(
        f"  {name}: {array.dtype} {array.shape}, {array.min():.6g} to {array.max():.6g}, largest "
        f"at {largest}"
    )


def work(arguments: argparse.Namespace) -> None:
    """Compile or run."""
    import onnxruntime

    model, values, artifacts = files_of(arguments)
    provider = provider_of(arguments, onnxruntime.get_available_providers())
    options = prepared(provider, values, arguments, artifacts)
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    providers = [CPU] if provider == CPU else [provider, CPU]
    session = onnxruntime.InferenceSession(
        str(model), sess_options=settings, providers=providers,
        provider_options=[options, {}][: len(providers)],
    )  # fmt: skip
    frames = arguments.frames
    if not frames and arguments.action == "compile":
        frames = int(values.get("advanced_options:calibration_frames", 0))
    names = [node.name for node in session.get_outputs()]
    kept: dict[str, list[Any]] = {name: [] for name in names}
    seconds = []
    for feed in feeds_of(session.get_inputs(), arguments, frames):
        start = time.perf_counter()
        found = session.run(None, feed)
        seconds.append(time.perf_counter() - start)
        for name, value in zip(names, found):
            kept[name].append(value)
    say(
        f"{model.name}: {len(seconds)} inputs on {provider}, median "
        f"{1e3 * float(np.median(seconds)):.2f} ms; last outputs:"
    )
    for name in names:
        show(name, kept[name][-1])
    if arguments.save:
        stacked: dict[str, Any] = {name: np.stack(found) for name, found in kept.items()}
        np.savez(arguments.save, **stacked)
        say(f"outputs are in {arguments.save}")
    if provider == COMPILER and not (artifacts / "allowedNode.txt").is_file():
        raise StopError(
            f"compiling wrote no {artifacts / 'allowedNode.txt'}: all would run on ARM; "
            "look at the messages above"
        )


def main(words: list[str] | None = None) -> int:
    """Run the script; returns the exit status."""
    try:
        work(parse(words))
    except StopError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 2
    except ImportError as problem:
        sys.stderr.write(f"error: {problem}; pip install onnxruntime\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

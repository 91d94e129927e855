"""What the engine accepts, refuses, explains and falls back to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given

from nibblefit.conformance.strategies import Example, quantized_graphs
from nibblefit.engine import Engine, int8_layers
from nibblefit.errors import InputError, MismatchError
from nibblefit.fixed.formats import Accumulator, Format, Overflow, Rounding
from nibblefit.fixed.steps import Clamp, Mul, ShiftLeft, ShiftRight, Steps
from nibblefit.ir import reference
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode, QuantizedTensor

FUSABLE: Steps = (ShiftRight(9, Rounding.HALF_UP), Clamp(0, 127))


def layer(
    weights: np.ndarray, steps: Steps = FUSABLE, accumulator: Accumulator | None = None
) -> QuantizedGraph:
    """Return one padded 3×3 convolution of an int8 image."""
    shape = (weights.shape[1], 6, 6)
    tensors = {
        "x": QuantizedTensor("x", shape, Format(8)),
        "w": QuantizedTensor("w", weights.shape, Format(16)),
        "y": QuantizedTensor("y", (weights.shape[0], 6, 6), Format(8)),
    }
    attributes = frozen_mapping({"pads": (1, 1, 1, 1)})
    node = QuantizedNode("y", Op.CONV, ("x", "w"), ("y",), attributes, (), steps, accumulator)
    return QuantizedGraph(
        "one", "test", ("x",), ("y",), (node,), frozen_mapping(tensors),
        frozen_mapping({"w": weights}),
    )  # fmt: skip


def weights(largest: int, channels: int = 8) -> np.ndarray:
    """Return random weights with both extremes among them."""
    found = np.random.default_rng(1).integers(-largest, largest, (4, channels, 3, 3))
    found[0, 0, 0, :2] = -largest, largest - 1
    return found


def images(graph: QuantizedGraph, batch: int = 5) -> np.ndarray:
    """Return random codes, the first image all lowest, the second all highest."""
    shape = (batch, *graph.tensors["x"].shape)
    found = np.random.default_rng(2).integers(-128, 128, shape)
    found[0], found[1] = -128, 127
    return found


@pytest.mark.parametrize(
    ("largest", "channels", "steps", "kernel"),
    [
        (128, 8, FUSABLE, "oneDNN int8, fused rounding"),
        (128, 8, (Mul(77777), ShiftRight(26, Rounding.HALF_AWAY), Clamp(-128, 127)),
         "oneDNN int8, float32 sums"),
        (128, 400, (Mul(777), ShiftRight(26, Rounding.HALF_AWAY), Clamp(-128, 127)),
         "oneDNN int8 in two halves, int32 sums"),
        (512, 8, FUSABLE, "torch float32"),
        (1 << 15, 8, FUSABLE, "torch float64"),
        (1 << 45, 8, FUSABLE, "torch int64"),
        (1 << 52, 8, FUSABLE, "judge (numpy int64)"),
    ],
)  # fmt: skip
def test_each_kernel_serves_its_range_and_equals_the_judge(
    largest: int, channels: int, steps: Steps, kernel: str
) -> None:
    """The bound of the actual weights picks the kernel; every kernel gives the same integers."""
    if kernel.startswith("oneDNN") and int8_layers.onednn.trusted():
        pytest.skip(int8_layers.onednn.trusted())
    graph = layer(weights(largest, channels), steps)
    engine, codes = Engine(graph), images(graph)
    assert engine.explain()[0].kernel == kernel
    expected = reference.run(graph, {"x": codes}).tensors["y"]
    np.testing.assert_array_equal(engine.run({"x": codes}).outputs["y"], expected)


@given(quantized_graphs(max_nodes=3))
def test_a_processor_without_exact_int8_falls_back(example: Example) -> None:
    """With the int8 path refused, all graphs still give the judge's integers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8_layers.onednn, "trusted", lambda: "no VNNI in this test")
        engine = Engine(example.graph)
    assert not any("oneDNN" in choice.kernel for choice in engine.explain())
    expected = reference.run(example.graph, example.inputs).outputs
    for name, codes in engine.run(example.inputs).outputs.items():
        np.testing.assert_array_equal(codes, expected[name])


def test_a_kernel_that_is_wrong_for_one_geometry_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The comparison at compile time catches an int8 kernel that saturates pairs of products."""
    exact = int8_layers.onednn.prepare

    def saturating(*arguments: object) -> int8_layers.onednn.Shaped:
        shaped = exact(*arguments)  # type: ignore[arg-type]
        return lambda shape: lambda codes: shaped(shape)(codes.clamp(max=200))

    monkeypatch.setattr(int8_layers.onednn, "prepare", saturating)
    choice = Engine(layer(weights(128))).explain()[0]
    assert choice.kernel == "torch float32"
    assert "not exact on this processor" in choice.reason


def test_a_kernel_that_is_wrong_for_one_shape_is_used_for_the_others() -> None:
    """The first batch of every shape is compared; few layouts of the weights are remembered."""

    def by_shape(shape: torch.Size) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: x + 1 if shape[0] != 3 else x + 2

    guarded = int8_layers.Guarded(by_shape, lambda x: x + 1)
    for _ in range(2):
        for batch in range(1, 9):
            x = torch.arange(batch * 2).reshape(batch, 2)
            assert torch.equal(guarded(x), x + 1)
    assert [size[0] for (size, _), sound in guarded.sound.items() if not sound] == [3]
    assert len(guarded.paths) == 4


def test_an_accumulator_too_narrow_is_found_at_run_time() -> None:
    """A forbidden overflow that no range excludes is checked on the data, as the judge does."""
    graph = layer(weights(128), accumulator=Accumulator(18, Overflow.FORBID))
    engine, codes = Engine(graph), images(graph)
    quiet = np.zeros_like(codes)
    assert not engine.run({"x": quiet}).outputs["y"].any()
    for execute in (lambda: engine.run({"x": codes}), lambda: reference.run(graph, {"x": codes})):
        with pytest.raises(MismatchError, match="accumulator"):
            execute()


def test_codes_that_leave_their_format_are_found_at_run_time() -> None:
    """Steps without a clamp are checked on the data."""
    graph = layer(weights(128), (ShiftRight(7, Rounding.FLOOR),))
    codes = images(graph)
    with pytest.raises(MismatchError):
        reference.run(graph, {"x": codes})
    with pytest.raises(MismatchError, match="node 'y'"):
        Engine(graph).run({"x": codes})


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "missing"),
        ({"x": np.zeros((1, 8, 6, 6))}, "integer codes"),
        ({"x": torch.zeros(1, 8, 6, 6)}, "integer codes"),
        ({"x": np.zeros((1, 8, 6, 5), dtype=np.int64)}, "shape"),
        ({"x": np.full((1, 8, 6, 6), 128)}, "128"),
    ],
)
def test_wrong_inputs_are_refused_like_the_judge(inputs: dict[str, object], words: str) -> None:
    """Missing, real-valued, misshapen and out-of-range inputs give the judge's class of error."""
    graph = layer(weights(128))
    with pytest.raises(InputError, match=words):
        Engine(graph).run(inputs)  # type: ignore[arg-type]


def test_wrong_arguments_are_refused() -> None:
    """Threads, batch size and names of tensors are checked."""
    graph = layer(weights(128))
    with pytest.raises(InputError, match="0 threads"):
        Engine(graph, threads=0)
    with pytest.raises(InputError, match="batch size"):
        Engine(graph).run({"x": images(graph)}, batch_size=0)
    with pytest.raises(InputError, match="'z'"):
        Engine(graph).run({"x": images(graph)}, keep=["z"])


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_any_integer_type_comes_in(dtype: type[np.generic]) -> None:
    """Numpy arrays and torch tensors of any integer type, read-only and strided ones too."""
    graph = layer(weights(128))
    engine, codes = Engine(graph), images(graph)
    expected = engine.run({"x": codes}).outputs["y"]
    narrow = codes.astype(dtype)
    narrow.flags.writeable = False
    turned = np.ascontiguousarray(narrow[:, :, :, ::-1])[:, :, :, ::-1]
    for found in (narrow, turned, torch.from_numpy(narrow.copy())):
        np.testing.assert_array_equal(engine.run({"x": found}).outputs["y"], expected)


def test_a_stream_gives_the_run_in_parts() -> None:
    """Chunks arrive in order, with one and with two threads, and add up to the whole."""
    graph = layer(weights(128))
    codes = images(graph, 9)
    for threads in (1, 2):
        engine = Engine(graph, threads=threads)
        whole = engine.run({"x": codes}, keep=["y"]).tensors["y"]
        parts = [
            part.tensors["y"] for part in engine.stream({"x": codes}, keep=["y"], batch_size=2)
        ]
        assert [len(part) for part in parts] == [2, 2, 2, 2, 1]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_memory_bounds_the_chunk() -> None:
    """A small budget means small chunks, never none."""
    graph = layer(weights(128))
    assert Engine(graph, memory_mb=1, threads=1).chunk <= Engine(graph, threads=1).chunk
    assert Engine(graph, memory_mb=0, threads=1).chunk == 1


def test_the_explanation_is_a_table() -> None:
    """One line per node under a head: node, operator, kernel, bound, reason."""
    explanation = Engine(layer(weights(128))).explain()
    head, line = str(explanation).splitlines()
    assert head.split() == ["node", "operator", "kernel", "bound", "reason"]
    assert line.startswith("y     conv")
    assert explanation[0].bound is not None


LEGACY = """
torch.set_float32_matmul_precision("medium")
check()
"""
OWN = """
for holder in (torch.backends, torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv):
    holder.fp32_precision = "bf16"
    check()
    holder.fp32_precision = "none"
"""


@pytest.mark.parametrize("settings", [LEGACY, OWN], ids=["legacy", "own"])
def test_settings_of_torch_are_fixed_and_restored(settings: str) -> None:
    """Reduced precision is off inside, however the caller chose it, and back afterwards."""
    if settings == OWN and not hasattr(torch.backends, "fp32_precision"):
        pytest.skip("this torch has the legacy setting only")
    script = f"""
import torch
from nibblefit.engine.numerics_guard import exact_arithmetic

full = ("ieee", "none", "highest")

def precisions():
    library = torch.backends.mkldnn
    if not hasattr(library, "conv"):
        return (torch.get_float32_matmul_precision(),)
    return library.matmul.fp32_precision, library.conv.fp32_precision

def check():
    before = precisions(), torch.get_num_threads()
    assert not all(precision in full for precision in precisions())
    with exact_arithmetic(threads=1):
        assert all(precision in full for precision in precisions()), precisions()
        assert torch.get_num_threads() == 1
    assert before == (precisions(), torch.get_num_threads())

{settings}
"""
    # In a process of its own: torch refuses to mix its old and new settings.
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def addition(steps: Steps, left: int, formats: tuple[Format, Format, Format]) -> QuantizedGraph:
    """Return the sum of two images with 64 channels, the second shifted left."""
    tensors = {
        name: QuantizedTensor(name, (64, 16, 16), number)
        for name, number in zip("aby", formats, strict=True)
    }
    node = QuantizedNode(
        "y", Op.ADD, ("a", "b"), ("y",), frozen_mapping(), ((), (ShiftLeft(left),)), steps
    )
    return QuantizedGraph(
        "sum", "test", ("a", "b"), ("y",), (node,), frozen_mapping(tensors), frozen_mapping()
    )


@pytest.mark.parametrize("rounding", [Rounding.HALF_UP, Rounding.FLOOR, Rounding.HALF_EVEN])
@pytest.mark.parametrize("left", [0, 1, 3])
@pytest.mark.parametrize(
    "formats",
    [
        (Format(8), Format(8), Format(8)),
        (Format(7, signed=False), Format(8), Format(7, signed=False)),
        (Format(8, signed=False), Format(8, signed=False), Format(8, signed=False)),
    ],
)
def test_sums_of_all_pairs_of_codes_equal_the_judge(
    rounding: Rounding, left: int, formats: tuple[Format, Format, Format]
) -> None:
    """The one-pass sum gives the judge's code for every pair of bytes, and leaves inputs alone."""
    result = formats[2]
    graph = addition((ShiftRight(left + 1, rounding), Clamp(result.lo, result.hi)), left, formats)
    first, second = (np.arange(number.lo, number.hi + 1) for number in formats[:2])
    pairs = np.stack(np.meshgrid(first, second), -1).reshape(-1, 2)
    pairs = np.concatenate([pairs, np.resize(pairs, (-len(pairs) % (64 * 256), 2))])
    inputs = {name: pairs[:, i].reshape(-1, 64, 16, 16) for i, name in enumerate("ab")}
    engine = Engine(graph)
    if not int8_layers.onednn.trusted():
        assert engine.explain()[0].kernel == "oneDNN int8, one-pass sum"
    expected = reference.run(graph, inputs).tensors
    for _ in range(2):
        found = engine.run(inputs, keep="all").tensors
        for name, codes in expected.items():
            np.testing.assert_array_equal(found[name], codes)

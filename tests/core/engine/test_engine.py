"""The engine equals the judge on every tensor, whatever the graph, the batch and the threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nibblefit.conformance.strategies import Example, quantized_graphs
from nibblefit.engine import Engine, fused_addition, onednn, tuning
from nibblefit.ir import legal, reference
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.nn.capture import capture
from nibblefit.quantization.build import quantize_network
from nibblefit.quantization.settings import settings


@given(quantized_graphs())
def test_every_tensor_equals_the_judge(example: Example) -> None:
    """Random graphs, formats, steps and extreme inputs give the judge's integers and state."""
    expected = reference.run(example.graph, example.inputs)
    found = Engine(example.graph).run(example.inputs, keep="all")
    assert set(found.tensors) == set(expected.tensors)
    for name, tensor in expected.tensors.items():
        np.testing.assert_array_equal(found.tensors[name], tensor, err_msg=name)
    for name, state in expected.state.items():
        np.testing.assert_array_equal(found.state[name], state, err_msg=name)


@given(quantized_graphs())
def test_random_graphs_are_legal(example: Example) -> None:
    """The strategy keeps every named rule, so a difference is never the graph's fault."""
    legal.check_quantized(example.graph)


@contextmanager
def eager_threads() -> Iterator[None]:
    """Let even the smallest work use every thread, side by side and inside operations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "_PART_WORK", 1)
        patch.setattr(tuning, "_INSIDE_WORK", 0)
        yield


@given(quantized_graphs(max_nodes=3), st.integers(1, 5), st.sampled_from((1, 2, 3)))
def test_batch_size_and_threads_change_nothing(example: Example, size: int, threads: int) -> None:
    """Any chunking and thread count gives the same tensors and final state."""
    whole = Engine(example.graph, threads=1).run(example.inputs, keep="all")
    engine = Engine(example.graph, threads=threads)
    with eager_threads():
        for batch_size in (size, None):
            parts = engine.run(example.inputs, keep="all", batch_size=batch_size)
            for name, tensor in whole.tensors.items():
                np.testing.assert_array_equal(parts.tensors[name], tensor, err_msg=name)
            for name, state in whole.state.items():
                np.testing.assert_array_equal(parts.state[name], state, err_msg=name)


@given(quantized_graphs(), st.data())
def test_what_is_kept_changes_nothing(example: Example, data: st.DataObject) -> None:
    """Tensors that nobody asks for may be overwritten; those asked for never are."""
    expected = reference.run(example.graph, example.inputs).tensors
    names = data.draw(st.lists(st.sampled_from(sorted(expected)), min_size=1, unique=True))
    engine = Engine(example.graph)
    for keep in (names, "outputs", names):
        for name, codes in engine.run(example.inputs, keep=keep).tensors.items():
            np.testing.assert_array_equal(codes, expected[name], err_msg=name)


def residual_network() -> QuantizedGraph:
    """Return padded convolutions, two shortcuts from one of them, a pool and a linear layer."""
    torch.manual_seed(0)

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 16, 3, padding=1)
            self.second, self.third = (nn.Conv2d(16, 16, 3, padding=1) for _ in range(2))
            self.linear = nn.Linear(16 * 16, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a = self.first(x).relu()
            b = self.second(a)
            c = (self.third((b + a).relu()) + b).relu()
            return self.linear(nn.functional.max_pool2d(c, 2).flatten(1))

    images = np.random.default_rng(0).normal(size=(16, 3, 8, 8)).astype(np.float32)
    module = capture(Residual().eval(), (3, 8, 8))
    return quantize_network(module, Numerics(), [images], settings())


def test_a_network_gives_the_judges_integers_for_every_batch_and_thread_count() -> None:
    """Batches of 1 to 70 images, one to three threads, all tensors; each twice, warm and cold."""
    graph = residual_network()
    (x,) = graph.inputs
    codes = np.random.default_rng(1).integers(-128, 128, (70, *graph.tensors[x].shape))
    expected = reference.run(graph, {x: codes}).tensors
    engines = [Engine(graph, threads=threads) for threads in (1, 2, 3)]
    with eager_threads():
        for batch in (1, 2, 3, 17, 70):
            for engine in (*engines, *engines):
                found = engine.run({x: codes[:batch]}, keep="all").tensors
                for name, tensor in expected.items():
                    np.testing.assert_array_equal(found[name], tensor[:batch], err_msg=name)


@given(quantized_graphs(max_nodes=2))
def test_inputs_are_never_written(example: Example) -> None:
    """In-place passes only touch tensors the engine made: the caller's arrays stay as they were."""
    tensors = {
        name: torch.from_numpy(codes.copy()).to(torch.int32)
        for name, codes in example.inputs.items()
    }
    engine = Engine(example.graph)
    engine.run(tensors)
    for name, codes in example.inputs.items():
        np.testing.assert_array_equal(tensors[name].numpy(), codes)


def test_a_sum_may_overwrite_an_operand_that_nobody_else_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whichever tensor is asked for, alone or with others, it holds the judge's integers."""
    seconds = count()  # the one-pass sum is timed first, so it seems the faster one
    monkeypatch.setattr(fused_addition, "_seconds", lambda *_: next(seconds))
    graph = residual_network()
    (x,) = graph.inputs
    codes = np.random.default_rng(2).integers(-128, 128, (64, *graph.tensors[x].shape))
    expected, engine = reference.run(graph, {x: codes}).tensors, Engine(graph, threads=1)
    if not onednn.trusted():
        assert "oneDNN int8, one-pass sum" in {choice.kernel for choice in engine.explain()}
    for keep in (*([name] for name in expected), "outputs", "all", ["second", "add"]):
        for name, tensor in engine.run({x: codes}, keep=keep).tensors.items():
            np.testing.assert_array_equal(tensor, expected[name], err_msg=name)


def test_one_engine_serves_several_callers_at_once() -> None:
    """Threads of the caller with different wishes and batches do not disturb each other."""
    graph = residual_network()
    (x,) = graph.inputs
    codes = np.random.default_rng(3).integers(-128, 128, (24, *graph.tensors[x].shape))
    expected, engine = reference.run(graph, {x: codes}).tensors, Engine(graph, threads=2)

    def call(job: tuple[str, int]) -> bool:
        name, batch = job
        return all(
            np.array_equal(engine.run({x: codes[:batch]}, keep=[name]).tensors[name],
                           expected[name][:batch])
            for _ in range(10)
        )  # fmt: skip

    jobs = [(name, batch) for name in ("second", "add", graph.outputs[0]) for batch in (5, 24)]
    with eager_threads(), ThreadPoolExecutor(3) as callers:
        assert all(callers.map(call, jobs))

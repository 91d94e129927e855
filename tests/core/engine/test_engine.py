"""The engine equals the judge on every tensor, whatever the graph, the batch and the threads."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.conformance.strategies import Example, quantized_graphs
from nibblefit.engine import Engine
from nibblefit.ir import legal, reference


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


@given(quantized_graphs(max_nodes=3), st.integers(1, 5), st.sampled_from((1, 2)))
def test_batch_size_and_threads_change_nothing(example: Example, size: int, threads: int) -> None:
    """Any chunking and thread count gives the same tensors and final state."""
    whole = Engine(example.graph).run(example.inputs, keep="all")
    parts = Engine(example.graph, threads=threads).run(example.inputs, keep="all", batch_size=size)
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(parts.tensors[name], tensor, err_msg=name)
    for name, state in whole.state.items():
        np.testing.assert_array_equal(parts.state[name], state, err_msg=name)


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

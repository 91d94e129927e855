"""The engine: compile a quantized graph once, then run any number of images through it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nibblefit.engine.explanation import Explanation, explain
from nibblefit.engine.layout import checked_inputs, to_inside, to_outside
from nibblefit.engine.numerics_guard import exact_arithmetic
from nibblefit.engine.parallel import in_parallel
from nibblefit.engine.planning import Plan, States, plan
from nibblefit.engine.tuning import chunk_size
from nibblefit.errors import InputError
from nibblefit.fixed.formats import IntArray
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.ir.reference import Execution

#: Which tensors a run returns: the graph's outputs, every tensor, or those named.
Keep = str | Sequence[str]


class Engine:
    """Executes one graph, equal to `nibblefit.ir.reference.run` on every tensor.

    Args:
        graph: Any graph the judge executes.
        threads: Threads to use, across chunks of images or, for one chunk, within operations;
            None for torch's setting. Results never depend on it, nor on the batch size.
        memory_mb: Bound on what one chunk of images keeps alive inside the engine, in MiB. Inputs
            and kept results come on top.
        device: "cpu", or "cuda", which uses float32 and float64 without reduced precision.
    """

    def __init__(
        self, graph: QuantizedGraph, *, threads: int | None = None, memory_mb: int = 512,
        device: str = "cpu",
    ) -> None:  # fmt: skip
        if threads is not None and threads < 1:
            raise InputError(f"the engine got {threads} threads; expected 1 or more")
        self.graph = graph
        self._threads = threads
        self._device = torch.device(device)
        with exact_arithmetic(threads):
            self._plan: Plan = plan(graph, self._device)
        workers = threads or torch.get_num_threads()
        self.chunk = chunk_size(graph, self._plan, (memory_mb << 20) // workers)

    def run(
        self, inputs: Mapping[str, IntArray | Tensor], state: Mapping[str, IntArray] | None = None,
        keep: Keep = "outputs", batch_size: int | None = None,
    ) -> Execution:  # fmt: skip
        """Return the tensors asked for, of all images.

        Args:
            inputs: Integer arrays or tensors by name, batch axis first; any integer type.
            state: States to start from; the graph's own initial states where left out.
            keep: "outputs", "all", or names of tensors.
            batch_size: Images per chunk; None chooses by memory and speed.

        Returns:
            Like the judge's: int64 arrays, batch axis first, and the state after the last image.

        Raises:
            InputError: An input is missing, has another shape, or holds codes outside its format.
            MismatchError: An accumulator or an output code leaves its declared width.
        """
        names = self._names(keep)
        states = self._states(state)
        parts: dict[str, list[IntArray]] = {name: [] for name in names}
        for part in self._chunks(inputs, states, names, batch_size):
            for name, codes in part.items():
                parts[name].append(to_outside(codes))
        tensors = {name: _joined(found) for name, found in parts.items()}
        outputs = {n: tensors[n] for n in self.graph.outputs if n in tensors}
        return Execution(frozen_mapping(tensors), frozen_mapping(outputs), frozen_mapping(states))

    def stream(
        self, inputs: Mapping[str, IntArray | Tensor], state: Mapping[str, IntArray] | None = None,
        keep: Keep = "outputs", batch_size: int | None = None,
    ) -> Iterator[Execution]:  # fmt: skip
        """Yield the results chunk by chunk, in order, so that all tensors never exist at once.

        Each item's state is the state after its last image. Arguments are those of `run`.
        """
        names, states = self._names(keep), self._states(state)
        for part in self._chunks(inputs, states, names, batch_size):
            tensors = {name: to_outside(codes) for name, codes in part.items()}
            outputs = {n: tensors[n] for n in self.graph.outputs if n in tensors}
            yield Execution(
                frozen_mapping(tensors), frozen_mapping(outputs), frozen_mapping(states)
            )

    def explain(self) -> Explanation:
        """Return which kernel computes each node, the bound that proves it, and the reason."""
        return explain(self._plan)

    def _names(self, keep: Keep) -> tuple[str, ...]:
        known = (*self.graph.inputs, *(o for node in self.graph.nodes for o in node.outputs))
        if keep == "outputs":
            return tuple(dict.fromkeys(self.graph.outputs))
        if keep == "all":
            return known
        names = (keep,) if isinstance(keep, str) else tuple(keep)
        for name in names:
            if name not in known:
                raise InputError(f"tensor '{name}' to keep is not in graph '{self.graph.name}'",
                                 hint="keep 'outputs', 'all' or names of tensors")  # fmt: skip
        return names

    def _states(self, state: Mapping[str, IntArray] | None) -> States:
        return {**self.graph.states, **(state or {})}

    def _chunks(
        self, inputs: Mapping[str, Any], states: States, names: Sequence[str],
        batch_size: int | None,
    ) -> Iterator[dict[str, Tensor]]:  # fmt: skip
        """Yield the kept tensors of one chunk after the other; `states` moves along."""
        if batch_size is not None and batch_size < 1:
            raise InputError(f"the batch size is {batch_size}; expected 1 or more")
        raw = checked_inputs(self.graph, inputs)
        count = len(next(iter(raw.values()))) if raw else 0
        workers = self._threads or torch.get_num_threads()
        # A state makes every image depend on the one before; so does a single image.
        workers = 1 if self.graph.states or states else min(workers, max(count, 1))
        size = batch_size or min(self.chunk, -(-count // workers)) or 1
        starts = range(0, max(count, 1), size)
        parts = ({n: codes[i : i + size] for n, codes in raw.items()} for i in starts)

        def run(part: Mapping[str, Tensor]) -> dict[str, Tensor]:
            with torch.inference_mode():
                return self._run_chunk(part, states, names)

        if workers == 1 or len(starts) == 1:
            for part in parts:
                with exact_arithmetic(self._threads):
                    found = run(part)
                yield found
        else:
            yield from in_parallel(run, parts, workers)

    def _run_chunk(
        self, inputs: Mapping[str, Tensor], states: States, names: Sequence[str]
    ) -> dict[str, Tensor]:
        types, kept = self._plan.types, frozenset(names)
        batch = len(next(iter(inputs.values()))) if inputs else 0
        alive = {n: to_inside(codes, types[n], self._device) for n, codes in inputs.items()}
        found = {name: codes for name, codes in alive.items() if name in kept}
        for operation, released in zip(self._plan.operations, self._plan.releases, strict=True):
            results = operation.execute([alive[n] for n in operation.inputs], states)
            for name, result in zip(operation.node.outputs, results, strict=True):
                # A result made of constants only is the same in every image.
                alive[name] = result if len(result) == batch else result.expand(
                    batch, *result.shape[1:])  # fmt: skip
                if name in kept:
                    found[name] = alive[name]
            for name in released:
                del alive[name]
        return {name: found[name] for name in names}


def _joined(parts: Sequence[IntArray]) -> IntArray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)

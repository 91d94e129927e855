"""The engine: compile a quantized graph once, then run any number of images through it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nibblefit.engine.explanation import Explanation, explain
from nibblefit.engine.layout import checked_inputs, to_inside, to_outside
from nibblefit.engine.numerics_guard import exact_arithmetic, using_threads
from nibblefit.engine.parallel import in_parallel
from nibblefit.engine.planning import Execute, Plan, States, plan
from nibblefit.engine.tuning import Division, Work, chunk_size, divide
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
        with exact_arithmetic(threads, device):
            self._plan: Plan = plan(graph, self._device)
        self._is_float = any(operation.is_float for operation in self._plan.operations)
        self._work = Work.of(graph, self._plan)
        self._latest: tuple[tuple[str, ...] | None, list[_Instruction]] = (None, [])
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
        parts = list(self._chunks(inputs, states, names, batch_size, is_stream=False))
        tensors = {name: _joined([part[name] for part in parts]) for name in names}
        return self._execution(tensors, states)

    def stream(
        self, inputs: Mapping[str, IntArray | Tensor], state: Mapping[str, IntArray] | None = None,
        keep: Keep = "outputs", batch_size: int | None = None,
    ) -> Iterator[Execution]:  # fmt: skip
        """Yield the results chunk by chunk, in order, so that all tensors never exist at once.

        Each item's state is the state after its last image. Arguments are those of `run`.
        """
        names, states = self._names(keep), self._states(state)
        for tensors in self._chunks(inputs, states, names, batch_size, is_stream=True):
            yield self._execution(tensors, states)

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

    def _execution(self, tensors: dict[str, IntArray], states: States) -> Execution:
        outputs = {n: tensors[n] for n in self.graph.outputs if n in tensors}
        return Execution(frozen_mapping(tensors), frozen_mapping(outputs), frozen_mapping(states))

    def _chunks(
        self, inputs: Mapping[str, Any], states: States, names: tuple[str, ...],
        batch_size: int | None, *, is_stream: bool,
    ) -> Iterator[dict[str, IntArray]]:  # fmt: skip
        """Yield the kept tensors of one chunk after the other; `states` moves along.

        A stream computes no more at a time than the threads can; a run everything at once.
        """
        if batch_size is not None and batch_size < 1:
            raise InputError(f"the batch size is {batch_size}; expected 1 or more")
        raw = checked_inputs(self.graph, inputs)
        count = len(next(iter(raw.values()))) if raw else 0
        # A state makes every image depend on the one before.
        in_order = bool(self.graph.states or states) or self._device.type != "cpu"
        threads = self._threads or torch.get_num_threads()
        division = divide(count, batch_size or self.chunk, threads, self._work, in_order=in_order)
        size = batch_size or division.size
        parts = [
            {name: codes[start : start + size] for name, codes in raw.items()}
            for start in range(0, max(count, 1), size)
        ]
        window = division.workers if is_stream else len(parts)
        for start in range(0, len(parts), window):
            yield from self._computed(parts[start : start + window], states, names, division)

    def _computed(
        self, parts: Sequence[Mapping[str, Tensor]], states: States, names: tuple[str, ...],
        division: Division,
    ) -> list[dict[str, IntArray]]:  # fmt: skip
        program = self._program(names)

        def run(part: Mapping[str, Tensor]) -> dict[str, IntArray]:
            with torch.inference_mode():
                return self._run_chunk(program, part, states, names)

        is_parallel = division.workers > 1 and len(parts) > 1
        threads = 1 if is_parallel else division.inside
        hold = exact_arithmetic(threads, self._device.type)
        # Integer kernels depend on no setting, and holding all of them takes 10 µs.
        with hold if self._is_float else using_threads(threads):
            if is_parallel:
                return in_parallel(run, parts, division.workers)
            return [run(part) for part in parts]

    def _program(self, names: tuple[str, ...]) -> list[_Instruction]:
        """Return the operations with the tensors that can go after each, of those not kept."""
        latest, program = self._latest  # read once: another thread may replace it
        if latest == names:
            return program
        kept = frozenset(names)
        pairs = zip(self._plan.operations, self._plan.releases, strict=True)
        program = [
            (operation.executed(self._plan.disposable - kept), operation.inputs,
             operation.node.outputs, [name for name in released if name not in kept])
            for operation, released in pairs
        ]  # fmt: skip
        self._latest = names, program
        return program

    def _run_chunk(
        self, program: Sequence[_Instruction], inputs: Mapping[str, Tensor], states: States,
        names: Sequence[str],
    ) -> dict[str, IntArray]:  # fmt: skip
        types = self._plan.types
        batch = len(next(iter(inputs.values()))) if inputs else 0
        alive = {n: to_inside(codes, types[n], self._device) for n, codes in inputs.items()}
        for execute, variables, outputs, released in program:
            results = execute([alive[name] for name in variables], states)
            if not variables:
                # A result made of constants only is the same in every image.
                results = [r if len(r) == batch else r.expand(batch, *r.shape[1:]) for r in results]
            alive.update(zip(outputs, results, strict=True))
            for name in released:
                del alive[name]
        return {name: to_outside(alive[name]) for name in names}


#: What to call, the tensors it reads and writes, and those that nobody needs afterwards.
_Instruction = tuple[Execute, tuple[str, ...], tuple[str, ...], list[str]]


def _joined(parts: Sequence[IntArray]) -> IntArray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)

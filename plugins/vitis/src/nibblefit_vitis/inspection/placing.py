"""Where every layer runs: its own rule, then that of its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from nibblefit_vitis.devices.dpu import After, Dpu
from nibblefit_vitis.inspection.layer import FUNCTIONS, Layer, Network, Sort
from nibblefit_vitis.inspection.rules.alone import judged
from nibblefit_vitis.inspection.rules.verdict import Fits, Refusal, Verdict
from nibblefit_vitis.preparation.constants import LEAKY_SLOPE, is_standard_gate

_AFTER = {
    Sort.RELU: After.RELU, Sort.RELU6: After.RELU6, Sort.LEAKY_RELU: After.LEAKY_RELU,
    Sort.PRELU: After.PRELU, Sort.HARD_SIGMOID: After.HARD_SIGMOID,
    Sort.HARD_SWISH: After.HARD_SWISH,
}  # fmt: skip
_GONE = "nothing left to do"
_PERMUTED = ("values of an image change their order here: a permute is inserted, which runs on the "
             "CPU")  # fmt: skip
_SUMS = frozenset({Sort.ADD, Sort.SUB, Sort.MUL})


class Where(StrEnum):
    """Who runs a layer."""

    DPU = "DPU"
    CPU = "CPU"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a layer runs, and why.

    Attributes:
        layer: The layer.
        where: DPU or CPU.
        what: On the DPU: what it runs as.
        host: Layer whose engine applies it on the way; empty if it is one of its own.
        refusal: On the CPU: the rule that decides.
        notes: What happens on the way.
    """

    layer: Layer
    where: Where
    what: str = ""
    host: str = ""
    refusal: Refusal | None = None
    notes: tuple[str, ...] = ()


class _Placing:
    """State of one pass over a network."""

    def __init__(self, network: Network, dpu: Dpu) -> None:
        self.network, self.dpu = network, dpu
        self.makers, self.readers = network.makers(), network.readers()
        self.found: dict[str, Placement] = {}

    def place(self, layer: Layer) -> Placement:
        if layer.sort is Sort.NOTHING and len(layer.inputs) == 1:
            return self._gone(layer)
        if layer.sort is Sort.RESHAPE:
            return self._reshape(layer)
        if layer.sort in FUNCTIONS:
            return self._function(layer)
        folded = self._folded(layer)
        if folded is not None:
            return folded
        placement = _placement(layer, judged(layer, self.dpu))
        if layer.sort is Sort.CONCAT and placement.where is Where.DPU:
            return self._concat(placement)
        return placement

    def _before(self, layer: Layer) -> Placement | None:
        """Return where a layer's first input is made; None for the network's input."""
        maker = self.makers.get(layer.inputs[0]) if layer.inputs else None
        return self.found[maker.name] if maker is not None else None

    def _is_sole_reader(self, layer: Layer) -> bool:
        name = layer.inputs[0]
        return len(self.readers[name]) == 1 and name not in self.network.outputs

    def _gone(self, layer: Layer) -> Placement:
        before = self._before(layer)
        if before is None:
            return Placement(layer, Where.USER, _GONE)
        return Placement(layer, before.where, _GONE, before.host or before.layer.name,
                         before.refusal)  # fmt: skip

    def _folded(self, layer: Layer) -> Placement | None:
        """Return the fold of a batch norm, or of a matrix product's bias, into the layer before."""
        before = self._before(layer)
        if before is None or not self._is_sole_reader(layer):
            return None
        norm = layer.sort is Sort.NORM and before.layer.sort in (Sort.CONVOLUTION, Sort.TRANSPOSED)
        bias = (
            layer.sort is Sort.ADD and "constant" in layer.facts
            and before.layer.sort is Sort.DENSE and before.layer.word == "MatMul"
        )  # fmt: skip
        if not norm and not bias:
            return None
        name = before.layer.name
        return Placement(layer, before.where, f"folded into {name}", name, before.refusal)

    def _reshape(self, layer: Layer) -> Placement:
        before = self._before(layer)
        if before is None or before.where is not Where.DPU:
            return Placement(layer, Where.CPU, refusal=Refusal(
                "vitis.reshape", f"its input is not on the DPU ({_place(before)})",
                "put it behind a layer that the DPU runs"))  # fmt: skip
        if layer.facts.get("batch_changes"):
            return Placement(layer, Where.CPU, refusal=Refusal(
                "vitis.reshape", "the batch axis changes", "keep the batch axis"))  # fmt: skip
        reorders = layer.facts.get("reorders") and not self._feeds_dense(layer)
        notes = (_PERMUTED,) if reorders else ()
        return Placement(layer, Where.DPU, "no computation", notes=notes)

    def _feeds_dense(self, layer: Layer) -> bool:
        """Return whether only dense layers read a reshape: their weights can be reordered."""
        readers = self.readers.get(layer.outputs[0], []) if layer.outputs else []
        return bool(readers) and all(
            one.sort is Sort.DENSE or (one.sort is Sort.NOTHING and self._feeds_dense(one))
            for one in readers
        )

    def _function(self, layer: Layer) -> Placement:
        verdict = self._function_verdict(layer)
        before = self._before(layer)
        if isinstance(verdict, Fits) and verdict.what.startswith("with ") and before is not None:
            host = before.host or before.layer.name
            return Placement(layer, Where.DPU, verdict.what, host, notes=verdict.notes)
        return _placement(layer, verdict)

    def _function_verdict(self, layer: Layer) -> Verdict:
        notes: tuple[str, ...] = ()
        if layer.sort is Sort.CLIP:
            return Refusal("vitis.function", "only ReLU and ReLU6 clip", "use ReLU6")
        if layer.sort is Sort.LEAKY_RELU:
            slope = float(layer.facts.get("slope", LEAKY_SLOPE))
            if round(slope * 256) != 26:
                allowed = f"slope {slope:g}: allowed is 26/256 = {LEAKY_SLOPE:g}"
                return Refusal("vitis.slope", allowed, "use that slope and retrain")
            if slope != LEAKY_SLOPE:
                notes = (f"slope {slope:g} becomes 26/256 = {LEAKY_SLOPE:g}",)
        if layer.sort is Sort.HARD_SIGMOID and not is_standard_gate(layer.facts):
            return Refusal("vitis.function", "a hard-sigmoid other than min(max(x + 3, 0), 6) / 6",
                           "use that one and retrain")  # fmt: skip
        before = self._before(layer)
        if before is None or before.where is not Where.DPU:
            return Refusal("vitis.function", f"it follows {_place(before)}: no engine applies it",
                           "put it directly behind a layer that the DPU runs")  # fmt: skip
        return self._behind(layer, before, notes)

    def _behind(self, layer: Layer, before: Placement, notes: tuple[str, ...]) -> Verdict:
        """Return whether the engine before a function applies it, or the ALU computes it."""
        wanted = _AFTER[layer.sort]
        engine = self._engine(before)
        host = before.host or before.layer.name
        if self._is_sole_reader(layer) and wanted in _after(engine, self.dpu):
            return Fits(f"with {host}", notes)
        split = _is_sum(engine)
        alone = wanted in self.dpu.alone or (
            wanted is After.HARD_SWISH
            and After.HARD_SIGMOID in self.dpu.alone and "mult" in self.dpu.elementwise
        )  # fmt: skip
        if alone and not split:
            return Fits("ALU, as a layer of its own", notes)
        if split:
            return Refusal("vitis.function", f"behind the sum {host} the element-wise engine "
                           f"applies {_listed(self.dpu.elementwise_after)} only",
                           "use ReLU there, or apply it before the sum")  # fmt: skip
        if not self._is_sole_reader(layer):
            return Refusal("vitis.function", f"{before.layer.name} has other readers as well, so "
                           "its engine cannot apply it",
                           "let every reader come behind the function")  # fmt: skip
        return Refusal("vitis.function", f"nothing applies it behind {host} ({before.layer.word})",
                       "put it directly behind a convolution")  # fmt: skip

    def _engine(self, before: Placement) -> Layer | None:
        """Return the layer whose engine makes a result; None if something was applied already."""
        if before.layer.sort in FUNCTIONS or before.layer.sort is Sort.RESHAPE:
            return None
        if not before.host:
            return before.layer
        host = self.found[before.host]
        return host.layer if before.layer.sort in (Sort.NORM, Sort.NOTHING, Sort.ADD) else None

    def _concat(self, placement: Placement) -> Placement:
        layer = placement.layer
        makers = [self.makers.get(name) for name in layer.inputs]
        on_dpu = [maker is not None and self.found[maker.name].where is Where.DPU
                  for maker in makers]  # fmt: skip
        image = layer.shape is None or len(layer.shape) == 3
        if not any(on_dpu):
            reason = "none of its inputs is on the DPU"
        elif not all(on_dpu) and not (image and layer.facts.get("axis") == 1):
            reason = "an input is not on the DPU; then only channels of images are concatenated"
        else:
            return placement
        return Placement(layer, Where.CPU, refusal=Refusal(
            "vitis.concat", reason, "compute its inputs on the DPU"))  # fmt: skip


def place(network: Network, dpu: Dpu) -> tuple[Placement, ...]:
    """Return where every layer of a network runs, in its order."""
    state = _Placing(network, dpu)
    for layer in network.layers:
        state.found[layer.name] = state.place(layer)
    return tuple(state.found[layer.name] for layer in network.layers)


def _placement(layer: Layer, verdict: Verdict) -> Placement:
    if isinstance(verdict, Refusal):
        return Placement(layer, Where.CPU, refusal=verdict)
    return Placement(layer, Where.DPU, verdict.what, notes=verdict.notes)


def _place(before: Placement | None) -> str:
    if before is None or before.where is Where.USER:
        return "the network's input"
    return f"{before.layer.name}, on the CPU"


def _is_sum(engine: Layer | None) -> bool:
    """Return whether the element-wise engine makes a layer; with a constant another one does."""
    return engine is not None and engine.sort in _SUMS and "constant" not in engine.facts


def _after(engine: Layer | None, dpu: Dpu) -> Sequence[After]:
    """Return the functions that the engine of a layer applies."""
    if engine is None:
        return ()
    if _is_sum(engine):
        return dpu.elementwise_after
    if engine.sort in (Sort.MAX_POOL, Sort.AVERAGE_POOL):
        return dpu.pooling.after if dpu.pooling else ()
    if engine.sort in (Sort.CONVOLUTION, Sort.TRANSPOSED, Sort.DENSE) and not engine.is_depthwise:
        return dpu.convolution.after
    depthwise = engine.is_depthwise or engine.sort in (Sort.NORM, Sort.MUL, Sort.BILINEAR)
    return dpu.depthwise.after if depthwise and dpu.depthwise else ()


def _listed(functions: Sequence[After]) -> str:
    return ", ".join(function.value for function in functions)

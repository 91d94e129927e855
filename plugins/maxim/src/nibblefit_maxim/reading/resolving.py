"""From entries and parameters to layers with shapes: what each one reads, computes and writes.

A layer that cannot be followed leaves its output unknown; whatever reads that is passed over, and
everything else is still resolved, so that all problems of a file come together.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from nibblefit.errors import GraphError
from nibblefit.ir.graph import Shape
from nibblefit_maxim.layers import HardwareLayer, IntegerLayer, Operator, Pool, PoolKind
from nibblefit_maxim.lower import GraphBuilder
from nibblefit_maxim.memory.processors import contiguous
from nibblefit_maxim.parts import Part
from nibblefit_maxim.reading.checkpoint import LayerParameters
from nibblefit_maxim.reading.codes import Codes, bypass_codes
from nibblefit_maxim.reading.entry import LayerEntry, NetworkEntry
from nibblefit_maxim.reading.misfit import Misfit
from nibblefit_maxim.reading.placed import BUFFER, INPUT, Placed
from nibblefit_maxim.reading.problems import Problems
from nibblefit_maxim.reading.rolled import RolledBuffer
from nibblefit_maxim.reading.supply import Supply
from nibblefit_maxim.reading.views import Views, part_of


class Resolver:
    """Adds layers one by one, keeping the tensors they read.

    Attributes:
        builder: The graph as far as it could be followed.
        placed: Every layer that could be followed.
        unknown: Names of the layers that could not.
    """

    def __init__(
        self,
        entry: NetworkEntry,
        parameters: Sequence[LayerParameters] | None,
        input_shape: Shape,
        part: Part,
        problems: Problems,
        *,
        rounds_averages: bool = False,
    ) -> None:
        """Make a resolver; without parameters, channel counts are taken from the maps."""
        self._rounds_averages = rounds_averages
        self._entry = entry
        self._supply = Supply(entry, parameters, part, problems)
        self._problems = problems
        self.builder = GraphBuilder(entry.arch)
        self.builder.add_input(INPUT, input_shape)
        self._views = Views(self.builder)
        self._rolled = RolledBuffer(entry.buffer, self.builder, INPUT) if entry.buffer else None
        self.placed: list[Placed] = []
        self.unknown: set[str] = set()

    def resolve(self) -> None:
        """Add every layer, recording what does not fit."""
        for layer in self._entry.layers:
            try:
                self._add(layer)
            except Misfit as misfit:
                self._problems.add(misfit.line, misfit.rule, f"{layer.title}: {misfit.message}")
                self.unknown.add(layer.name)
            except GraphError as error:
                rule = "pooling-size" if "window" in error.what else "shape"
                self._problems.add(layer.line, rule, f"{layer.title}: {error.what}")
                self.unknown.add(layer.name)
        left = self._supply.left()
        if left:
            self._problems.add(
                0,
                "checkpoint-surplus",
                f"the checkpoint has weights for {len(left)} more layers: {', '.join(left)}",
            )

    def _add(self, entry: LayerEntry) -> None:
        given = self._supply.codes(entry)
        sources = self._sources(entry)
        if not entry.can_be_followed or self.unknown & set(sources):
            self.unknown.add(entry.name)
            return
        self._note_partial(entry, sources)
        tensors = self._views.of(entry, tuple(self._contents(entry, name) for name in sources))
        channels, *spatial = self.builder.shape(tensors[0])
        if entry.eltwise is None:
            self._check_members(entry, tensors)
            channels = sum(self.builder.shape(t)[0] for t in tensors)
        in_frac = self.builder.frac(tensors[0])
        codes = self._codes(entry, given, (channels, *spatial))
        layer = self._layer(entry, tensors, (channels, *spatial))
        self._check_weights(entry, layer, codes)
        self.builder.add_layer(_integer_layer(layer, codes, in_frac))
        if self._rolled:
            self._rolled.write(entry, entry.name)
        shape = self.builder.shape(entry.name)
        self.placed.append(
            Placed(
                entry, layer, shape, self._positions(sources),
                codes.weight_bits if codes else 8,
                is_biased=codes is not None and codes.bias is not None and bool(codes.bias.any()),
            )
        )  # fmt: skip

    def _layer(self, entry: LayerEntry, tensors: tuple[str, ...], shape: Shape) -> HardwareLayer:
        """Return what an entry computes on inputs of a shape."""
        return HardwareLayer(
            name=entry.name,
            operator=entry.operator,
            inputs=tensors,
            input_shape=shape,
            output_shape=(),
            pool=_pool(entry, len(shape) - 1, rounds=self._rounds_averages),
            eltwise=entry.eltwise,
            pool_first=bool(entry.get("pool_first", True)),
            kernel=entry.kernel,
            pad=(entry.pad,) * len(entry.kernel),
            dilation=(int(entry.get("dilation", 1)),) * len(entry.kernel),
            groups=int(entry.get("groups", 1)),
            flatten=bool(entry.get("flatten")),
            activation=entry.activation,
            wide=entry.is_wide,
        )

    def _positions(self, sources: tuple[str, ...]) -> tuple[int, ...]:
        """Return the indices of the layers that made the sources; −1 is the network's input."""
        names = [layer.name for layer in self._entry.layers]
        special = {INPUT: -1, BUFFER: -2}
        return tuple(special[n] if n in special else names.index(n) for n in sources)

    def _contents(self, entry: LayerEntry, source: str) -> str:
        """Return the tensor behind a source's name."""
        if source != BUFFER or self._rolled is None:
            return source
        return self._rolled.read(entry)

    def _sources(self, entry: LayerEntry) -> tuple[str, ...]:
        given = entry.get("in_sequences")
        if given is None:
            return (self._entry.layers[entry.index - 1].name if entry.index else INPUT,)
        layers = self._entry.layers
        names = {layer.name.lower(): layer for layer in layers if "name" in layer.given}
        numbers = {layer.number: layer for layer in layers}
        found = []
        for item in given:
            if item == -1 or str(item).lower() == "input":
                found.append(INPUT)
                continue
            if self._entry.is_buffer(item) and len(given) == 1:
                found.append(BUFFER)
                continue
            number = item if isinstance(item, int) else -1
            layer = names.get(str(item).lower(), numbers.get(number))
            if layer is None or layer.index >= entry.index:
                raise Misfit(
                    entry.line_of("in_sequences"), "in-sequences",
                    f"'in_sequences' names {item}, not a layer before",
                )  # fmt: skip
            found.append(layer.name)
        return tuple(found)

    def _note_partial(self, entry: LayerEntry, sources: tuple[str, ...]) -> None:
        """Warn of layers that read some channels only."""
        if len(sources) > 1 and not entry.eltwise:
            return
        for source in sources:
            if source == BUFFER or (entry.eltwise and len(sources) == 1):
                continue
            channels = self.builder.shape(source)[0]
            part = part_of(entry, channels)
            if part.channels != channels:
                self._problems.add(
                    entry.line_of("in_channels"), "partial-channels",
                    f"{entry.title}: reads channels {part.skip} to {part.skip + part.channels - 1} "
                    f"of the {channels} of '{source}'",
                )  # fmt: skip

    def _check_members(self, entry: LayerEntry, tensors: tuple[str, ...]) -> None:
        shapes = [self.builder.shape(tensor) for tensor in tensors]
        if len({shape[1:] for shape in shapes}) > 1:
            sizes = ", ".join("×".join(map(str, shape[1:])) for shape in shapes)
            raise Misfit(
                entry.line_of("in_sequences"), "concat-shape",
                f"concatenates data of different sizes: {sizes}",
            )  # fmt: skip
        for tensor, shape in list(zip(tensors, shapes, strict=True))[:-1]:
            if shape[0] % 4 and self._supply.is_known:
                self._problems.add(
                    entry.line_of("in_sequences"), "concat-multiple",
                    f"{entry.title}: member '{tensor}' has {shape[0]} channels, not a multiple "
                    "of 4",
                )  # fmt: skip

    def _codes(self, entry: LayerEntry, given: Codes | None, shape: Shape) -> Codes | None:
        if entry.operator is Operator.PASSTHROUGH:
            return None
        if entry.get("bypass"):
            outputs = int(entry.get("out_channels", shape[0]))
            return bypass_codes(entry, (outputs, shape[0], *entry.kernel))
        return given or self._guessed(entry, shape)

    def _guessed(self, entry: LayerEntry, shape: Shape) -> Codes:
        """Return zeros in the shape that the maps suggest, one output channel per map bit."""
        groups = int(entry.get("groups", 1))
        outputs = int(entry.get("out_channels", _map_of(self._entry, entry).bit_count()))
        if entry.operator is Operator.LINEAR:
            size: tuple[int, ...] = (outputs, prod(shape))
        elif entry.operator is Operator.CONV_TRANSPOSE2D:
            size = (shape[0], outputs, *entry.kernel)
        elif groups > 1:
            size = (shape[0], 1, *entry.kernel)
        else:
            size = (outputs, shape[0], *entry.kernel)
        bits = max(int(entry.get("quantization") or 8), 1)
        return Codes(np.zeros(size, np.int64), None, bits, 0, 0, is_binary=False)

    def _check_weights(self, entry: LayerEntry, layer: HardwareLayer, codes: Codes | None) -> None:
        if codes is None:
            return
        found = codes.weights.shape
        if entry.kernel and tuple(found[2:]) != entry.kernel:
            raise Misfit(
                entry.line_of("kernel_size"), "checkpoint-shape",
                f"kernel is {entry.kernel}, but the checkpoint's weights are {tuple(found)}",
            )  # fmt: skip
        stated = entry.get("out_channels", found[0])
        is_plain = entry.operator in (Operator.CONV1D, Operator.CONV2D) and layer.groups == 1
        if is_plain and stated != found[0] and not entry.get("bypass"):
            raise Misfit(
                entry.line_of("out_channels"), "checkpoint-shape",
                f"'out_channels' is {stated}, but the checkpoint's weights are {tuple(found)}",
            )  # fmt: skip
        if layer.operator is Operator.LINEAR:
            features = layer.in_channels * layer.input_pixels
            if layer.input_pixels > 1 and not layer.flatten:
                raise Misfit(
                    entry.line, "shape", "data is larger than 1×1; 'flatten: true' is missing"
                )
            if found != (found[0], features):
                raise Misfit(
                    entry.line, "checkpoint-shape",
                    f"{features} features arrive, but the checkpoint's weights are {tuple(found)}",
                )  # fmt: skip


def _map_of(network: NetworkEntry, entry: LayerEntry) -> int:
    """Return where the layer writes as far as the file says; one processor if it does not."""
    following = network.layers[entry.index + 1 : entry.index + 2]
    stated = entry.get("output_processors") or (following[0].processors if following else 0)
    return int(stated or network.output_map or contiguous(0, 1))


def _pool(entry: LayerEntry, axes: int, *, rounds: bool) -> Pool | None:
    stride = entry.get("pool_stride", (1, 1))[:axes]
    dilation = entry.get("pool_dilation", (1, 1))[:axes]
    # Both kinds in one layer: the compiler takes the maximum.
    for key, kind in (("max_pool", PoolKind.MAX), ("avg_pool", PoolKind.AVG)):
        if key in entry.given:
            is_rounded = rounds and kind is PoolKind.AVG and axes == 2
            return Pool(kind, entry.given[key][:axes], stride, dilation, is_rounded)
    if max(stride, default=1) > 1:
        return Pool(PoolKind.MAX, (1,) * axes, stride, (1,) * axes)
    return None


def _integer_layer(layer: HardwareLayer, codes: Codes | None, in_frac: int) -> IntegerLayer:
    if codes is None:
        return IntegerLayer(layer, in_frac=in_frac, out_frac=in_frac)
    out_frac = in_frac - codes.threshold
    return IntegerLayer(
        layer,
        weights=codes.weights,
        bias=codes.bias,
        weight_bits=codes.weight_bits,
        weight_frac=7 - codes.total_shift + out_frac - in_frac,
        in_frac=in_frac,
        out_frac=out_frac,
        is_binary=codes.is_binary,
    )

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
from nibblefit_maxim.reading.codes import Codes, bypass_codes, codes_of
from nibblefit_maxim.reading.entry import LayerEntry, NetworkEntry
from nibblefit_maxim.reading.placed import INPUT, Placed
from nibblefit_maxim.reading.problems import Problems


class _Misfit(Exception):  # noqa: N818 - never leaves this module
    """A layer does not fit; its output stays unknown."""

    def __init__(self, line: int, rule: str, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.rule = rule
        self.message = message


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
        self._parameters = None if parameters is None else list(parameters)
        self._used: dict[str, LayerParameters] = {}
        self._part = part
        self._problems = problems
        self.builder = GraphBuilder(entry.arch)
        self.builder.add_input(INPUT, input_shape)
        self.placed: list[Placed] = []
        self.unknown: set[str] = set()

    def resolve(self) -> None:
        """Add every layer, recording what does not fit."""
        for layer in self._entry.layers:
            try:
                self._add(layer)
            except _Misfit as misfit:
                self._problems.add(misfit.line, misfit.rule, f"{layer.title}: {misfit.message}")
                self.unknown.add(layer.name)
            except GraphError as error:
                rule = "pooling-size" if "window" in error.what else "shape"
                self._problems.add(layer.line, rule, f"{layer.title}: {error.what}")
                self.unknown.add(layer.name)
        used = {_plain(item.name) for item in self._used.values()}
        # Checkpoints of parallel training may hold every layer twice, once below ``module``.
        left = [item.name for item in self._parameters or () if _plain(item.name) not in used]
        if left:
            self._problems.add(
                0,
                "checkpoint-surplus",
                f"the checkpoint has weights for {len(left)} more layers: {', '.join(left)}",
            )

    def _add(self, entry: LayerEntry) -> None:
        parameters = self._take(entry)
        sources = self._sources(entry)
        if not entry.can_be_followed or self.unknown & set(sources):
            self.unknown.add(entry.name)
            return
        tensors = self._shaped(entry, sources)
        channels, *spatial = self.builder.shape(tensors[0])
        if entry.eltwise is None:
            self._check_members(entry, tensors)
            channels = sum(self.builder.shape(t)[0] for t in tensors)
        in_frac = self.builder.frac(tensors[0])
        codes = self._codes(entry, parameters, (channels, *spatial))
        layer = HardwareLayer(
            name=entry.name,
            operator=entry.operator,
            inputs=tensors,
            input_shape=(channels, *spatial),
            output_shape=(),
            pool=_pool(entry, len(spatial), rounds=self._rounds_averages),
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
        self._check_weights(entry, layer, codes)
        self.builder.add_layer(_integer_layer(layer, codes, in_frac))
        shape = self.builder.shape(entry.name)
        self.placed.append(
            Placed(
                entry, layer, shape, self._positions(sources),
                codes.weight_bits if codes else 8,
                is_biased=codes is not None and codes.bias is not None and bool(codes.bias.any()),
            )
        )  # fmt: skip

    def _take(self, entry: LayerEntry) -> LayerParameters | None:
        """Return the next parameters of the checkpoint, or those of the layer's weight source."""
        if entry.operator is Operator.PASSTHROUGH or entry.get("bypass"):
            return None
        source = entry.get("weight_source")
        if source is not None:
            return self._shared(entry, str(source))
        if self._parameters is None:
            return None
        if not self._parameters:
            raise _Misfit(
                entry.line, "checkpoint-layers",
                "the checkpoint has no weights left for it; a layer without weights may be "
                "missing from the file, or the checkpoint belongs to another network",
            )  # fmt: skip
        self._used[entry.name.lower()] = self._used[str(entry.index)] = self._parameters.pop(0)
        return self._used[str(entry.index)]

    def _shared(self, entry: LayerEntry, source: str) -> LayerParameters | None:
        if self._parameters is None:
            return None
        found = self._used.get(source.lower())
        if found is None:
            raise _Misfit(
                entry.line_of("weight_source"), "in-sequences",
                f"'weight_source' names {source}, not a layer with weights before",
            )  # fmt: skip
        if found.bias is not None:
            raise _Misfit(
                entry.line_of("weight_source"), "not-modelled",
                f"'weight_source' names {source}, which has a bias; whether the bias is shared is "
                "not documented",
            )  # fmt: skip
        return found

    def _positions(self, sources: tuple[str, ...]) -> tuple[int, ...]:
        """Return the indices of the layers that made the sources; −1 is the network's input."""
        names = [layer.name for layer in self._entry.layers]
        return tuple(-1 if name == INPUT else names.index(name) for name in sources)

    def _sources(self, entry: LayerEntry) -> tuple[str, ...]:
        given = entry.get("in_sequences")
        if given is None:
            return (self._entry.layers[entry.index - 1].name if entry.index else INPUT,)
        names = {layer.name.lower(): layer for layer in self._entry.layers if "name" in layer.given}
        found = []
        for item in given:
            if item == -1 or str(item).lower() == "input":
                found.append(INPUT)
                continue
            layer = names.get(str(item).lower())
            index = layer.index if layer else item if isinstance(item, int) else -2
            if not 0 <= index < entry.index:
                raise _Misfit(
                    entry.line_of("in_sequences"), "in-sequences",
                    f"'in_sequences' names {item}, not a layer before",
                )  # fmt: skip
            found.append(self._entry.layers[index].name)
        return tuple(found)

    def _shaped(self, entry: LayerEntry, sources: tuple[str, ...]) -> tuple[str, ...]:
        """Return operand or member tensors in the shape that the layer reads."""
        if entry.eltwise and len(sources) == 1:
            sources = self._operands_inside(entry, sources[0])
        elif entry.eltwise and len(sources) != entry.operands:
            raise _Misfit(
                entry.line_of("in_sequences"), "eltwise",
                f"{entry.operands} operands, but {len(sources)} input sequences",
            )  # fmt: skip
        found = self.builder.shape(sources[0])[0]
        if entry.get("flatten"):  # the compiler counts features there
            found = prod(self.builder.shape(sources[0]))
        if entry.get("in_channels", found) != found:
            raise _Misfit(
                entry.line_of("in_channels"), "not-modelled",
                f"'in_channels' is {entry.get('in_channels')}, the data has {found}; reading a "
                "part of the channels is not supported by this reader",
            )  # fmt: skip
        return tuple(self._reshaped(entry, name) for name in sources)

    def _operands_inside(self, entry: LayerEntry, tensor: str) -> tuple[str, ...]:
        """Split one tensor into operands: its values in memory order, operand after operand."""
        channels, *spatial = self.builder.shape(tensor)
        size = tuple(entry.get("in_dim", spatial))
        wanted, rest = divmod(channels * prod(spatial), prod(size))
        if rest or wanted % entry.operands:
            raise _Misfit(
                entry.line, "eltwise",
                f"data of shape {(channels, *spatial)} cannot be split into {entry.operands} "
                f"operands of {size}",
            )  # fmt: skip
        if (wanted, *size) != (channels, *spatial):
            tensor = self.builder.reshape(tensor, (wanted, *size), entry.name)
        return self.builder.split(tensor, entry.operands, entry.name)

    def _reshaped(self, entry: LayerEntry, tensor: str) -> str:
        shape = self.builder.shape(tensor)
        wanted = _wanted_shape(entry, shape)
        if wanted == shape:
            return tensor
        if prod(shape[1:]) != prod(wanted[1:]):
            raise _Misfit(
                entry.line_of("in_dim"), "shape",
                f"'in_dim' {wanted[1:]} has {prod(wanted[1:])} positions, the data has "
                f"{prod(shape[1:])}; cropping is not supported by this reader",
            )  # fmt: skip
        return self.builder.reshape(tensor, wanted, f"{entry.name}.{tensor}")

    def _check_members(self, entry: LayerEntry, tensors: tuple[str, ...]) -> None:
        shapes = [self.builder.shape(tensor) for tensor in tensors]
        if len({shape[1:] for shape in shapes}) > 1:
            sizes = ", ".join("×".join(map(str, shape[1:])) for shape in shapes)
            raise _Misfit(
                entry.line_of("in_sequences"), "concat-shape",
                f"concatenates data of different sizes: {sizes}",
            )  # fmt: skip
        for tensor, shape in list(zip(tensors, shapes, strict=True))[:-1]:
            if shape[0] % 4 and self._parameters is not None:
                self._problems.add(
                    entry.line_of("in_sequences"), "concat-multiple",
                    f"{entry.title}: member '{tensor}' has {shape[0]} channels, not a multiple "
                    "of 4",
                )  # fmt: skip

    def _codes(
        self, entry: LayerEntry, parameters: LayerParameters | None, shape: Shape
    ) -> Codes | None:
        if entry.operator is Operator.PASSTHROUGH:
            return None
        if entry.get("bypass"):
            outputs = int(entry.get("out_channels", shape[0]))
            return bypass_codes(entry, (outputs, shape[0], *entry.kernel))
        if parameters is None:
            return self._guessed(entry, shape)
        return codes_of(entry, parameters, self._part, self._problems)

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
            raise _Misfit(
                entry.line_of("kernel_size"), "checkpoint-shape",
                f"kernel is {entry.kernel}, but the checkpoint's weights are {tuple(found)}",
            )  # fmt: skip
        stated = entry.get("out_channels", found[0])
        is_plain = entry.operator in (Operator.CONV1D, Operator.CONV2D) and layer.groups == 1
        if is_plain and stated != found[0] and not entry.get("bypass"):
            raise _Misfit(
                entry.line_of("out_channels"), "checkpoint-shape",
                f"'out_channels' is {stated}, but the checkpoint's weights are {tuple(found)}",
            )  # fmt: skip
        if layer.operator is Operator.LINEAR:
            features = layer.in_channels * layer.input_pixels
            if layer.input_pixels > 1 and not layer.flatten:
                raise _Misfit(
                    entry.line, "shape", "data is larger than 1×1; 'flatten: true' is missing"
                )
            if found != (found[0], features):
                raise _Misfit(
                    entry.line, "checkpoint-shape",
                    f"{features} features arrive, but the checkpoint's weights are {tuple(found)}",
                )  # fmt: skip


def _plain(module: str) -> str:
    return module.removeprefix("module.")


def _map_of(network: NetworkEntry, entry: LayerEntry) -> int:
    """Return where the layer writes as far as the file says; one processor if it does not."""
    following = network.layers[entry.index + 1 : entry.index + 2]
    stated = entry.get("output_processors") or (following[0].processors if following else 0)
    return int(stated or network.output_map or contiguous(0, 1))


def _wanted_shape(entry: LayerEntry, shape: Shape) -> Shape:
    channels, spatial = shape[0], shape[1:]
    spatial = tuple(entry.get("in_dim", spatial))
    if entry.operator is Operator.CONV1D:
        return (channels, prod(spatial))
    if entry.operator in (Operator.CONV2D, Operator.CONV_TRANSPOSE2D) and len(spatial) < 2:
        return (channels, *spatial, *(1,) * (2 - len(spatial)))
    return (channels, *spatial)


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

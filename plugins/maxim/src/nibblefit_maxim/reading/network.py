"""From entries and parameters to the quantized graph: shapes, maps, shifts and weights resolved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nibblefit.errors import GraphError
from nibblefit.ir.graph import Shape
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit_maxim.layers import HardwareLayer, IntegerLayer, Operator, Pool, PoolKind
from nibblefit_maxim.lower import GraphBuilder
from nibblefit_maxim.parts import Part
from nibblefit_maxim.reading.checkpoint import LayerParameters, load_checkpoint
from nibblefit_maxim.reading.codes import Codes, bypass_codes, codes_of
from nibblefit_maxim.reading.entries import LayerEntry, NetworkEntry, read_entries
from nibblefit_maxim.reading.placement import Placed, check_placement
from nibblefit_maxim.reading.yaml_text import Problems

#: Name of the network's input tensor.
INPUT = "input"
_HINT = "correct the network description or take the checkpoint it belongs to"


def read_files(
    yaml_path: Path,
    checkpoint_path: Path,
    input_shape: Shape,
    part: Part,
    *,
    fifo: bool = False,
    output_shapes: Sequence[Shape] = (),
) -> QuantizedGraph:
    """Read a network YAML and its integer checkpoint into a graph.

    Args:
        yaml_path: The network YAML.
        checkpoint_path: The integer checkpoint.
        part: The device.
        input_shape: Shape of the sample input, (channels, *spatial).
        fifo: Whether the compiler would be called with ``--fifo``.
        output_shapes: Shapes in which the host reads the outputs; empty: as the layers write them.

    Raises:
        InputError: Every problem of the files, with file and line.
    """
    checkpoint = load_checkpoint(checkpoint_path)
    entry = read_entries(yaml_path.read_text(encoding="utf-8"), yaml_path.name, part)
    problems = Problems(yaml_path.name)
    if checkpoint.arch and checkpoint.arch.lower() != entry.arch.lower():
        problems.add(0, f"arch is '{entry.arch}', but the checkpoint's is '{checkpoint.arch}'")
    problems.raise_if_any(_HINT)
    return build_network(
        entry, checkpoint.layers, input_shape, part, fifo=fifo, output_shapes=output_shapes
    )


def build_network(
    entry: NetworkEntry,
    parameters: Sequence[LayerParameters],
    input_shape: Shape,
    part: Part,
    *,
    fifo: bool = False,
    output_shapes: Sequence[Shape] = (),
) -> QuantizedGraph:
    """Return the graph of parsed entries and parameters.

    Raises:
        InputError: Every problem of the network that can be told apart.
    """
    problems = Problems(entry.file)
    resolver = _Resolver(entry, list(parameters), input_shape, part, problems)
    for layer in entry.layers:
        if not resolver.add(layer):
            break
    else:
        check_placement(entry, resolver.placed, part, problems, fifo=fifo)
    problems.raise_if_any(_HINT)
    marked = [layer.name for layer in entry.layers if layer.get("output")]
    outputs = list(dict.fromkeys([*marked, entry.layers[-1].name]))
    for index, shape in enumerate(output_shapes):
        name = outputs[index]
        outputs[index] = resolver.builder.host_shape(name, shape, f"{name}.shaped")
    metadata = {"part": part.name, "arch": entry.arch, "dataset": entry.dataset}
    return resolver.builder.finish(outputs, metadata)


class _Misfit(Exception):  # noqa: N818 - never leaves this module
    """A layer does not fit; ends the resolving of this file."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


class _Resolver:
    """Adds layers one by one, keeping the tensors they read."""

    def __init__(
        self,
        entry: NetworkEntry,
        parameters: list[LayerParameters],
        input_shape: Shape,
        part: Part,
        problems: Problems,
    ) -> None:
        self._entry = entry
        self._left = parameters
        self._part = part
        self._problems = problems
        self.builder = GraphBuilder(entry.arch)
        self.builder.add_input(INPUT, input_shape)
        self.placed: list[Placed] = []

    def add(self, layer: LayerEntry) -> bool:
        """Add one layer; False if the file cannot be followed any further."""
        try:
            self._add(layer)
        except _Misfit as misfit:
            self._problems.add(misfit.line, f"{layer.title}: {misfit.message}")
        except GraphError as error:
            self._problems.add(layer.line, f"{layer.title}: {error.what}")
        else:
            return True
        return False

    def _add(self, entry: LayerEntry) -> None:
        if entry.get("tcalc"):
            raise _Misfit(entry.line_of("tcalc"), "'tcalc' is not supported by this reader")
        sources = self._sources(entry)
        tensors = self._shaped(entry, sources)
        channels, *spatial = self.builder.shape(tensors[0])
        if entry.eltwise is None:
            channels = sum(self.builder.shape(t)[0] for t in tensors)
        in_frac = self.builder.frac(tensors[0])
        codes = self._codes(entry, channels)
        layer = HardwareLayer(
            name=entry.name,
            operator=entry.operator,
            inputs=tensors,
            input_shape=(channels, *spatial),
            output_shape=(),
            pool=_pool(entry, len(spatial)),
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
        self.placed.append(
            Placed(entry, layer, self.builder.shape(entry.name), self._positions(sources))
        )

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
                    entry.line_of("in_sequences"),
                    f"'in_sequences' names {item}, not a layer before",
                )
            found.append(self._entry.layers[index].name)
        return tuple(found)

    def _shaped(self, entry: LayerEntry, sources: tuple[str, ...]) -> tuple[str, ...]:
        """Return operand or member tensors in the shape that the layer reads."""
        if entry.eltwise and len(sources) == 1:
            sources = self._operands_inside(entry, sources[0])
        elif entry.eltwise and len(sources) != entry.operands:
            raise _Misfit(
                entry.line, f"{entry.operands} operands, but {len(sources)} input sequences"
            )
        if (
            entry.get("in_channels", self.builder.shape(sources[0])[0])
            != (self.builder.shape(sources[0])[0])
        ):
            raise _Misfit(
                entry.line_of("in_channels"),
                "'in_channels' differs from the data; not supported by this reader",
            )
        return tuple(self._reshaped(entry, name) for name in sources)

    def _operands_inside(self, entry: LayerEntry, tensor: str) -> tuple[str, ...]:
        """Split one tensor into operands: its values in memory order, operand after operand."""
        channels, *spatial = self.builder.shape(tensor)
        size = tuple(entry.get("in_dim", spatial))
        values = channels * _pixels((channels, *spatial))
        wanted, rest = divmod(values, _pixels((0, *size)))
        if rest or wanted % entry.operands:
            raise _Misfit(
                entry.line,
                f"data of shape {(channels, *spatial)} cannot be split into {entry.operands} "
                f"operands of {size}",
            )
        if (wanted, *size) != (channels, *spatial):
            tensor = self.builder.reshape(tensor, (wanted, *size), entry.name)
        return self.builder.split(tensor, entry.operands, entry.name)

    def _reshaped(self, entry: LayerEntry, tensor: str) -> str:
        shape = self.builder.shape(tensor)
        wanted = _wanted_shape(entry, shape)
        if wanted == shape:
            return tensor
        pixels, expected = _pixels(shape), _pixels(wanted)
        if pixels != expected:
            raise _Misfit(
                entry.line_of("in_dim"),
                f"'in_dim' {wanted[1:]} has {expected} positions, the data has {pixels}; "
                "cropping is not supported by this reader",
            )
        return self.builder.reshape(tensor, wanted, f"{entry.name}.{tensor}")

    def _codes(self, entry: LayerEntry, channels: int) -> Codes | None:
        if entry.operator is Operator.PASSTHROUGH:
            return None
        if entry.get("bypass"):
            outputs = int(entry.get("out_channels", channels))
            return bypass_codes(entry, (outputs, channels, *entry.kernel))
        if not self._left:
            raise _Misfit(
                entry.line, "the checkpoint has no weights left for it; a layer without weights "
                "may be missing from the file, or the checkpoint belongs to another network",
            )  # fmt: skip
        return codes_of(entry, self._left.pop(0), self._part, self._problems)

    def _check_weights(self, entry: LayerEntry, layer: HardwareLayer, codes: Codes | None) -> None:
        if codes is None:
            return
        found = codes.weights.shape
        if entry.kernel and tuple(found[2:]) != entry.kernel:
            raise _Misfit(
                entry.line_of("kernel_size"),
                f"kernel is {entry.kernel}, but the checkpoint's weights are {tuple(found)}",
            )
        if layer.operator is Operator.LINEAR:
            features = layer.in_channels * layer.input_pixels
            if layer.input_pixels > 1 and not layer.flatten:
                raise _Misfit(entry.line, "data is larger than 1×1; 'flatten: true' is missing")
            if found != (found[0], features):
                raise _Misfit(
                    entry.line,
                    f"{features} features arrive, but the checkpoint's weights are {tuple(found)}",
                )


def _pixels(shape: Shape) -> int:
    count = 1
    for size in shape[1:]:
        count *= size
    return count


def _wanted_shape(entry: LayerEntry, shape: Shape) -> Shape:
    channels, spatial = shape[0], shape[1:]
    spatial = tuple(entry.get("in_dim", spatial))
    if entry.operator is Operator.CONV1D:
        return (channels, _pixels((channels, *spatial)))
    if entry.operator in (Operator.CONV2D, Operator.CONV_TRANSPOSE2D) and len(spatial) < 2:
        return (channels, *spatial, *(1,) * (2 - len(spatial)))
    return (channels, *spatial)


def _pool(entry: LayerEntry, axes: int) -> Pool | None:
    stride = entry.get("pool_stride", (1, 1))[:axes]
    dilation = entry.get("pool_dilation", (1, 1))[:axes]
    # Both kinds in one layer: the compiler takes the maximum.
    for key, kind in (("max_pool", PoolKind.MAX), ("avg_pool", PoolKind.AVG)):
        if key in entry.given:
            return Pool(kind, entry.given[key][:axes], stride, dilation)
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

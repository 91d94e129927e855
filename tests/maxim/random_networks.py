"""Random networks of hardware layers, some of them built so that a plan is known to exist."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np

from nibblefit.ir.quantized import QuantizedGraph
from nibblefit_maxim.layers import (
    Activation,
    Eltwise,
    HardwareLayer,
    IntegerLayer,
    Operator,
    Pool,
    PoolKind,
)
from nibblefit_maxim.lower import GraphBuilder
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.parts import Part

Shape = tuple[int, ...]


@dataclass
class RandomNetwork:
    """Layers in execution order over one input, with the tensors that must survive."""

    part: Part
    random: np.random.Generator
    input_shape: Shape
    needs: list[LayerNeeds] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    binary: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.shapes["x"] = self.input_shape

    def add(self, layer: HardwareLayer, width: int = 8) -> str:
        """Append a layer; returns its tensor. Some one-bit weights are binary."""
        biased = layer.has_weights and bool(self.random.random() < 0.4)
        if width == 1 and self.part.has_binary and self.random.random() < 0.6:
            self.binary.add(layer.name)
        fits_bias = sum(need.bias_bytes for need in self.needs) + layer.out_channels <= 400
        self.needs.append(LayerNeeds(layer, width, biased and fits_bias))
        self.shapes[layer.name] = layer.output_shape
        return layer.name

    def conv(
        self, sources: tuple[str, ...], outputs: int, *, eltwise: Eltwise | None = None,
        taps: int = 3, pool: int = 1, wide: bool = False, groups: int = 1,
    ) -> str:  # fmt: skip
        """Append a convolution with pooling in front; several sources: add or concatenate."""
        shape = self.read_shape(sources, eltwise)
        axes = len(shape) - 1
        sizes = tuple(size // pool for size in shape[1:])
        operator = Operator.CONV2D if axes == 2 else Operator.CONV1D
        return self.add(
            HardwareLayer(
                self.name(), operator, sources, shape, (outputs, *sizes),
                pool=self.pool(pool, shape), eltwise=eltwise, kernel=(taps,) * axes,
                pad=(taps // 2,) * axes, dilation=(1,) * axes, groups=groups, wide=wide,
                activation=Activation.NONE if wide else self.pick(Activation.RELU, Activation.NONE),
            ),
            self.pick(8, 8, 8, 4, 2, 1),
        )  # fmt: skip

    def column(self, source: str, outputs: int) -> str:
        """Append a padded 1-D convolution that runs as a 2-D one over a map of one column."""
        channels, length = self.shapes[source]
        name = self.add(
            HardwareLayer(
                self.name(), Operator.CONV2D, (source,), (channels, length, 1),
                (outputs, length, 1), kernel=(3, 3), pad=(1, 1), dilation=(1, 1),
            ),
            self.pick(8, 4, 1),
        )  # fmt: skip
        self.shapes[name] = (outputs, length)
        return name

    def upsample(self, source: str, outputs: int) -> str:
        """Append a transposed convolution that doubles rows and columns."""
        shape = self.shapes[source]
        return self.add(
            HardwareLayer(
                self.name(), Operator.CONV_TRANSPOSE2D, (source,), shape,
                (outputs, *(2 * size for size in shape[1:])), kernel=(3, 3), pad=(1, 1),
                dilation=(1, 1),
            )
        )  # fmt: skip

    def passthrough(
        self, sources: tuple[str, ...], *, eltwise: Eltwise | None = None, pool: int = 1
    ) -> str:
        """Append a layer without convolution."""
        shape = self.read_shape(sources, eltwise)
        sizes = tuple(size // pool for size in shape[1:])
        return self.add(
            HardwareLayer(
                self.name(), Operator.PASSTHROUGH, sources, shape, (shape[0], *sizes),
                pool=self.pool(pool, shape), eltwise=eltwise,
            )
        )  # fmt: skip

    def head(self, source: str, outputs: int = 10) -> str:
        """Append a wide linear layer."""
        shape = self.shapes[source]
        return self.add(
            HardwareLayer(
                self.name(), Operator.LINEAR, (source,), shape, (outputs,),
                flatten=prod(shape[1:]) > 1, wide=True,
            )
        )  # fmt: skip

    def read_shape(self, sources: tuple[str, ...], eltwise: Eltwise | None) -> Shape:
        first = self.shapes[sources[0]]
        return first if eltwise else (sum(self.shapes[s][0] for s in sources), *first[1:])

    def pool(self, size: int, shape: Shape) -> Pool | None:
        """Return a pool that divides every side, or plain subsampling, as strides become."""
        axes = len(shape) - 1
        if size == 1:
            return None
        kind = self.pick(PoolKind.MAX, PoolKind.AVG)
        whole = all(side % size == 0 for side in shape[1:])
        window = 1 if whole and self.random.random() < 0.25 else size
        if window == 1:
            kind = PoolKind.MAX
        return Pool(kind, (window,) * axes, (size,) * axes, (1,) * axes)

    def name(self) -> str:
        return f"l{len(self.needs)}"

    def pick(self, *options: object) -> object:
        return options[int(self.random.integers(len(options)))]

    def finish(self) -> RandomNetwork:
        """Mark what nobody reads, and sometimes one more tensor, as outputs."""
        read = {name for need in self.needs for name in need.layer.inputs}
        made = [need.layer.tensor for need in self.needs]
        extra = {made[int(self.random.integers(len(made)))]} if self.random.random() < 0.3 else ()
        self.outputs = [name for name in made if name not in read or name in extra]
        return self

    def graph(self) -> QuantizedGraph:
        """Return the network with random integers."""
        builder = GraphBuilder("random")
        builder.add_input("x", self.input_shape)
        for need in self.needs:
            builder.add_layer(self.integers(need))
        return builder.finish(self.outputs, {"part": self.part.name})

    def integers(self, need: LayerNeeds) -> IntegerLayer:
        layer, bits = need.layer, need.weight_bits
        if not layer.has_weights:
            return IntegerLayer(layer)
        count = layer.in_channels * (layer.input_pixels if layer.flatten else 1) // layer.groups
        size = (layer.out_channels, count, *layer.kernel)
        if layer.operator is Operator.CONV_TRANSPOSE2D:
            size = (count, layer.out_channels, *layer.kernel)
        weights = self.random.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), size)
        weights.flat[0] = -1  # all zeros would mean a checkpoint that nobody quantized
        is_binary = layer.name in self.binary
        if is_binary:
            weights = 2 * weights + 1
        bias = self.random.integers(-128, 128, layer.out_channels) if need.is_biased else None
        if bias is not None:
            bias[0] = 1
        return IntegerLayer(
            layer, weights, bias, bits, weight_frac=bits - 1, is_binary=is_binary
        )  # fmt: skip


def plannable(seed: int, part: Part) -> RandomNetwork:
    """Return a network for which a plan exists.

    All its tensors, second copies included, fit into one memory instance side by side, all its
    weights into one processor's memory, all biases into one quadrant.
    """
    random = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    while True:
        side = int(random.integers(4, 17)) // 4 * 4 or 4
        shape: Shape = (int(random.choice([1, 3, 8, 16])), side, side)
        if kind == "sequence":
            shape = (int(random.choice([4, 16, 64])), side * 4)
        net = _BUILDERS[kind](RandomNetwork(part, random, shape)).finish()
        if _surely_fits(net):
            return net


def _surely_fits(net: RandomNetwork) -> bool:
    data = prod(net.input_shape[1:]) * 4
    layers = len(net.needs)
    words = 0
    for need in net.needs:
        copies = len(need.layer.inputs) if len(need.layer.inputs) > 1 else 0
        layers += copies
        data += need.output_bytes + need.input_bytes() * (1 + copies) * (copies > 0)
        words += need.kernel_words + 4 + 16 * copies
    return (
        data <= net.part.instance_bytes
        and layers <= net.part.max_layers
        and words <= net.part.kernel_words
    )


def _chain(net: RandomNetwork) -> RandomNetwork:
    before = "x"
    for _ in range(int(net.random.integers(2, 8))):
        side = net.shapes[before][1]
        pool = net.pick(1, 1, 2) if side >= 4 and side % 2 == 0 else 1
        if pool == 2 and net.shapes[before][0] <= 64 and net.random.random() < 0.3:
            before = net.passthrough((before,), pool=2)
        elif net.part.has_depthwise and net.random.random() < 0.3:
            channels = net.shapes[before][0]
            before = net.conv((before,), channels, groups=channels) if channels > 1 else before
        else:
            outputs = net.pick(4, 10, 16, 32, 60, 64, 72, 100, 128)
            before = net.conv((before,), outputs, taps=net.pick(1, 3), pool=pool)
    if net.needs and prod(net.shapes[before]) <= 2000:
        net.head(before)
    return net if net.needs else _chain(net)


def _residual(net: RandomNetwork) -> RandomNetwork:
    channels = net.pick(4, 7, 16, 20, 32, 64)
    before = net.conv(("x",), channels)
    for _ in range(int(net.random.integers(1, 4))):
        kind = net.pick(Eltwise.ADD, Eltwise.SUB, Eltwise.OR, Eltwise.XOR)
        inner = net.conv((before,), channels)
        if net.random.random() < 0.4:
            inner = net.conv((inner,), channels, taps=1)
        sources = (before, inner) if net.random.random() < 0.7 else (inner, before)
        if net.random.random() < 0.2:
            sources = (*sources, net.conv((inner,), channels, taps=1))
        if net.random.random() < 0.5:
            before = net.conv(sources, channels, eltwise=kind)
        else:
            before = net.passthrough(sources, eltwise=kind)
    net.head(before, 5)
    return net


def _concat(net: RandomNetwork) -> RandomNetwork:
    before = net.conv(("x",), net.pick(8, 16))
    for _ in range(int(net.random.integers(1, 3))):
        one = net.conv((before,), net.pick(4, 8, 16))
        two = net.conv((before,), net.pick(8, 12), taps=1)
        members = (one, two)
        if net.random.random() < 0.4:
            members = (before, one) if net.shapes[before][0] % 4 == 0 else members
        if net.random.random() < 0.3:
            before = net.passthrough(members)
        else:
            before = net.conv(members, net.pick(8, 16, 24))
        if net.random.random() < 0.3 and net.shapes[two][0] == net.shapes[one][0]:
            before = net.passthrough((one, two), eltwise=Eltwise.ADD)
    net.head(before, 4)
    return net


def _unet(net: RandomNetwork) -> RandomNetwork:
    skips, before = [], "x"
    for level in range(int(net.random.integers(1, 3))):
        before = net.conv((before,), 8 * (level + 1), pool=1 if level == 0 else 2)
        skips.append(before)
    before = net.conv((before,), 16, pool=2)
    for skip in reversed(skips):
        up = net.upsample(before, net.pick(8, 16))
        members = (up, skip) if net.random.random() < 0.5 else (skip, up)
        before = net.conv(members, net.pick(8, 12))
    net.conv((before,), 4, taps=1)
    return net


def _outputs(net: RandomNetwork) -> RandomNetwork:
    trunk = net.conv(("x",), net.pick(8, 16))
    for _ in range(int(net.random.integers(2, 4))):
        net.conv((trunk,), net.pick(4, 8), taps=1)
        trunk = net.conv((trunk,), 16, pool=2 if net.shapes[trunk][1] >= 4 else 1)
    return net


def _wide(net: RandomNetwork) -> RandomNetwork:
    channels = net.pick(48, 64)
    trunk = net.conv(("x",), 16, pool=2 if net.input_shape[1] >= 8 else 1)
    one, two = net.conv((trunk,), channels, taps=1), net.conv((trunk,), channels, taps=1)
    last = net.conv((one, two), 16, taps=1)
    if net.random.random() < 0.5:
        wide = net.conv((trunk,), 2 * channels, taps=1)
        other = net.conv((trunk,), 2 * channels, taps=1)
        net.passthrough((wide, other), eltwise=Eltwise.ADD)
    net.conv((last,), 80, taps=1, wide=True)
    return net


def _sequence(net: RandomNetwork) -> RandomNetwork:
    before = "x"
    for _ in range(int(net.random.integers(2, 6))):
        taps = net.pick(1, 3, 5)
        pool = 2 if net.shapes[before][1] >= 8 and net.random.random() < 0.4 else 1
        before = net.conv((before,), net.pick(16, 48, 64, 100), taps=taps, pool=pool)
        if net.shapes[before][0] > 64 and not net.part.has_padded_multipass_conv1d:
            narrow = net.random.random() < 0.3
            before = net.conv((before,), 32, taps=1) if narrow else net.column(before, 48)
    if net.random.random() < 0.5:
        other = net.conv((before,), net.shapes[before][0], taps=1)
        before = net.passthrough((before, other), eltwise=Eltwise.ADD)
    net.head(before)
    return net


def _operands(net: RandomNetwork) -> RandomNetwork:
    channels, count = net.pick(3, 4, 8), net.pick(2, 3, 5, 9, 16)
    kind = net.pick(Eltwise.ADD, Eltwise.SUB, Eltwise.OR, Eltwise.XOR)
    trunk = net.conv(("x",), 8, pool=2)
    sources = tuple(net.conv((trunk,), channels, taps=1) for _ in range(count))
    if net.random.random() < 0.5:
        net.conv(sources, 5, eltwise=kind)
    else:
        net.head(net.passthrough(sources, eltwise=kind))
    return net


_BUILDERS = {
    "chain": _chain, "residual": _residual, "concat": _concat, "unet": _unet,
    "outputs": _outputs, "wide": _wide, "sequence": _sequence, "operands": _operands,
}  # fmt: skip
KINDS = tuple(_BUILDERS)


def unconstrained(seed: int, part: Part) -> RandomNetwork:
    """Return a network that may or may not fit: sizes, channels and shapes know no limit."""
    random = np.random.default_rng(10_000 + seed)
    side, channels = (
        int(random.choice([8, 16, 30, 64, 100, 160])),
        int(random.choice([1, 3, 20, 100])),
    )
    is_sequence = seed % 4 == 3
    net = RandomNetwork(
        part, random, (channels, 8 * side) if is_sequence else (channels, side, side)
    )
    tensors = ["x"]
    for _ in range(int(random.integers(2, 12))):
        source = tensors[int(random.integers(max(0, len(tensors) - 3), len(tensors)))]
        alike = [t for t in tensors if net.shapes[t][1:] == net.shapes[source][1:]]
        other = alike[int(random.integers(len(alike)))]
        outputs = int(random.choice([4, 13, 32, 64, 70, 128, 300]))
        pool = 2 if net.shapes[source][1] >= 4 and random.random() < 0.3 else 1
        same = net.shapes[source] == net.shapes[other]
        choice = random.random()
        if choice < 0.2 and same:
            kind = net.pick(Eltwise.ADD, Eltwise.OR)
            tensors.append(net.passthrough((source, other), eltwise=kind))
        elif choice < 0.35 and same and not is_sequence:
            kind = net.pick(Eltwise.SUB, Eltwise.XOR)
            tensors.append(net.conv((source, other), outputs, eltwise=kind))
        elif choice < 0.55:
            tensors.append(net.conv((source, other), outputs, taps=net.pick(1, 3), pool=pool))
        elif choice < 0.65:
            tensors.append(net.passthrough((source,), pool=pool))
        elif choice < 0.7 and not is_sequence:
            tensors.append(net.upsample(source, min(outputs, 64)))
        else:
            tensors.append(net.conv((source,), outputs, taps=net.pick(1, 3), pool=pool))
    if not any("x" in need.layer.inputs for need in net.needs):
        net.conv(("x",), 4)
    return net.finish()

"""The memory plan: sizes, maps, columns, offsets and biases, checked address by address."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.maxim.vectors import net

from nibblefit.errors import LimitError, UnsupportedError
from nibblefit_maxim.layers import HardwareLayer, Operator, Pool, PoolKind
from nibblefit_maxim.lift import lift
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.pictures import pictures
from nibblefit_maxim.memory.plan import MemoryPlan
from nibblefit_maxim.memory.planner import plan_memory, try_plan
from nibblefit_maxim.memory.processors import (
    bits,
    passes,
    passthrough_output,
    processors_per_pass,
    quadrants,
)
from nibblefit_maxim.parts import MAX78000, MAX78002, Part
from nibblefit_maxim.writing.folder import needs_of


def conv(
    name: str,
    before: str,
    shape: tuple[int, ...],
    outputs: int,
    *,
    taps: int = 3,
    pool: int = 1,
    **keys: object,
) -> HardwareLayer:
    """Return a padded convolution layer, pooling first."""
    sizes = tuple(size // pool for size in shape[1:])
    axes = len(sizes)
    window = Pool(PoolKind.MAX, (pool,) * axes, (pool,) * axes, (1,) * axes) if pool > 1 else None
    operator = Operator.CONV2D if axes == 2 else Operator.CONV1D
    return HardwareLayer(
        name, operator, (before,), shape, (outputs, *sizes), pool=window,
        kernel=(taps,) * axes, pad=(taps // 2,) * axes, dilation=(1,) * axes, **keys,
    )  # fmt: skip


def linear(name: str, before: str, shape: tuple[int, ...], outputs: int) -> HardwareLayer:
    """Return a wide linear layer."""
    return HardwareLayer(
        name, Operator.LINEAR, (before,), shape, (outputs,), flatten=prod(shape[1:]) > 1, wide=True
    )


def passthrough(name: str, before: str, shape: tuple[int, ...], pool: int) -> HardwareLayer:
    """Return a layer that only pools."""
    sizes = tuple(size // pool for size in shape[1:])
    window = Pool(PoolKind.AVG, (pool, pool), (pool, pool), (1, 1))
    return HardwareLayer(
        name, Operator.PASSTHROUGH, (before,), shape, (shape[0], *sizes), pool=window
    )


@pytest.mark.parametrize(
    ("channels", "count", "each"),
    [(1, 1, 1), (64, 1, 64), (65, 2, 36), (100, 2, 52), (120, 2, 60), (128, 2, 64), (1024, 16, 64)],
)
def test_passes_and_processors(channels: int, count: int, each: int) -> None:
    """Channels spread evenly over passes, rounded up to fours above 64."""
    assert passes(channels) == count
    assert processors_per_pass(channels) == each


@pytest.mark.parametrize(
    ("layer", "width", "words"),
    [
        # One 3×3 kernel of 8 bits is one word.
        (conv("c", "x", (3, 8, 8), 16), 8, 16),
        (conv("c", "x", (3, 8, 8), 16), 4, 8),
        (conv("c", "x", (3, 8, 8), 16), 1, 2),
        # 100 outputs: two passes of 52; 128 inputs: two passes.
        (conv("c", "x", (128, 8, 8), 100), 8, 208),
        # 1×1: nine kernels per word.
        (conv("c", "x", (64, 8, 8), 64, taps=1), 8, 8),
        (linear("f", "x", (12, 4, 4), 10), 8, 18),
        (passthrough("p", "x", (12, 4, 4), 2), 8, 0),
        # An odd number of 4-bit kernels is padded to whole bytes.
        (conv("c", "x", (3, 8, 8), 3), 4, 2),
    ],
)
def test_weight_words(layer: HardwareLayer, width: int, words: int) -> None:
    """Words per processor follow the compiler's formula."""
    assert LayerNeeds(layer, width).kernel_words == words


def test_depthwise_takes_one_kernel_per_pass() -> None:
    """Each output channel reads its own input channel, so kernels do not multiply."""
    layer = conv("c", "x", (128, 8, 8), 128, groups=128)
    assert LayerNeeds(layer).kernel_words == 2


def prove(plan: MemoryPlan, needs: list[LayerNeeds], part: Part) -> None:
    """Check a plan against the rules, word by word, without the planner's own arithmetic."""
    columns = np.full((64, part.kernel_words + part.extra_kernel_words), -1)
    columns[np.arange(64) % 16 > 0, part.kernel_words :] = -2
    for index, (need, placed) in enumerate(zip(needs, plan.layers, strict=True)):
        layer = need.layer
        chw = plan.is_chw and index == 0
        for channels, found in (
            (layer.in_channels, placed.processors),
            (layer.out_channels, placed.output_processors),
        ):
            assert found.bit_count() == processors_per_pass(channels)
        if index + 1 < len(needs):
            assert placed.output_processors == plan.layers[index + 1].processors
            assert placed.out_offset == plan.layers[index + 1].in_offset
        if layer.operator is Operator.PASSTHROUGH:
            assert placed.output_processors == passthrough_output(placed.processors)
        read = _addresses(placed.processors, placed.in_offset, layer.input_shape, 1, chw=chw)
        width = 4 if layer.wide else 1
        written = _addresses(placed.output_processors, placed.out_offset, layer.output_shape, width)
        assert not read & written, layer.name
        assert max(address for _, address in read | written) + 4 <= part.instance_bytes
        if need.kernel_words:
            assert placed.kernel_column % 4 == 0
            for processor in bits(placed.processors):
                cells = columns[processor, placed.kernel_column :][: need.kernel_words]
                assert cells.size == need.kernel_words
                assert (cells == -1).all()
                cells[:] = index
    used = {q for placed in plan.layers for q in quadrants(placed.processors)}
    assert 0 in used
    fill = [0, 0, 0, 0]
    for placed in plan.layers:
        if placed.bias_group is not None:
            assert placed.bias_group in used
            fill[placed.bias_group] += placed.bias_bytes
    assert fill == list(plan.bias_bytes)
    assert max(fill) <= part.bias_bytes


def _addresses(
    processor_map: int, offset: int, shape: tuple[int, ...], width: int, *, chw: bool = False
) -> set[tuple[int, int]]:
    """Return (instance, byte address of the word) of every value of a tensor."""
    channels, pixels = shape[0], prod(shape[1:])
    many, each = passes(channels), processors_per_pass(channels)
    positions = bits(processor_map)
    found = set()
    for channel in range(channels):
        instance = positions[channel % each] // 4
        base = channel // each
        if chw:
            # Four neighbouring positions of one channel share a word.
            found |= {(instance, offset + pixel // 4 * 4) for pixel in range(pixels)}
            continue
        words = (width * (pixel * many + base) + lane
                 for pixel in range(pixels) for lane in range(width))  # fmt: skip
        found |= {(instance, offset + 4 * word) for word in words}
    return found


@st.composite
def chains(draw: st.DrawFn) -> list[LayerNeeds]:
    """Return a chain of layers with pooling, many channels and a classifier."""
    shape: tuple[int, ...] = (
        draw(st.sampled_from([1, 3, 16, 70])),
        *[draw(st.integers(4, 14))] * 2,
    )
    needs, before = [], "x"
    for index in range(draw(st.integers(1, 6))):
        width = draw(st.sampled_from([1, 2, 4, 8]))
        pool = draw(st.sampled_from([1, 1, 2])) if min(shape[1:]) >= 4 else 1
        name = f"l{index}"
        if pool == 2 and shape[0] <= 64 and draw(st.booleans()):
            layer = passthrough(name, before, shape, pool)
        else:
            outputs = draw(st.sampled_from([1, 4, 10, 32, 60, 64, 72, 100, 128]))
            taps = draw(st.sampled_from([1, 3]))
            layer = conv(name, before, shape, outputs, taps=taps, pool=pool)
        needs.append(LayerNeeds(layer, width, layer.has_weights and draw(st.booleans())))
        shape, before = layer.output_shape, name
    if shape[0] * prod(shape[1:]) <= 16384 and prod(shape[1:]) <= 256 and draw(st.booleans()):
        needs.append(LayerNeeds(linear("head", before, shape, 10), 8, True))
    return needs


@given(chains(), st.sampled_from([MAX78000, MAX78002]))
def test_every_plan_is_proven_on_a_word_accurate_memory(
    needs: list[LayerNeeds], part: Part
) -> None:
    """Nothing overlaps, everything lies inside, maps have the right bits; or a limit is named."""
    plan, shortages = try_plan(needs, part, "x")
    if plan is None:
        assert shortages
        assert all(shortage.value > shortage.limit for shortage in shortages)
        return
    prove(plan, needs, part)
    assert plan.metrics()["kernel_words_peak"] in plan.kernel_words
    assert len(plan.table().rows) == len(needs)
    assert [picture["kind"] for picture in pictures(plan)] == ["banks"] * 3 + ["grid", "timeline"]


@pytest.mark.parametrize("name", ["mnist", "mnist-xs", "cifar10-nas", "kws20-v3", "autoenc"])
def test_vendor_chain_is_planned_anew(shared: Path, name: str) -> None:
    """Forget the vendor's plan, plan from the graph alone, and prove the new plan."""
    items = lift(net(shared / "vendor" / "maxim" / "nets" / name).graph)
    needs = [needs_of(item) for item in items]
    plan = plan_memory(needs, MAX78000, "input")
    prove(plan, needs, MAX78000)
    assert len(plan.layers) == len(items)


def test_large_image_is_stored_channel_by_channel() -> None:
    """100×100 pixels exceed one plane of words; CHW needs a quarter."""
    layers = [conv("a", "x", (3, 100, 100), 4, pool=2), conv("b", "a", (4, 50, 50), 8, pool=2)]
    needs = [LayerNeeds(layer) for layer in layers]
    plan = plan_memory(needs, MAX78000, "x")
    assert plan.is_chw
    assert plan.layers[0].processors == 0x111
    prove(plan, needs, MAX78000)


def _refusal(layers: list[HardwareLayer], part: Part = MAX78000, **keys: object) -> list[str]:
    needs = [LayerNeeds(layer, **keys) for layer in layers]  # type: ignore[arg-type]
    plan, shortages = try_plan(needs, part, "x")
    assert plan is None
    for shortage in shortages:
        assert shortage.hint
        assert shortage.finding().value == shortage.value
    with pytest.raises((LimitError, UnsupportedError)) as error:
        plan_memory(needs, part, "x")
    assert shortages[0].layer in str(error.value)
    return [shortage.rule for shortage in shortages]


def test_too_many_weights_name_layer_and_amount() -> None:
    """Two layers of 512 words each exceed 768 and fit in 4 bits."""
    layers = [conv("a", "x", (128, 4, 4), 256), conv("b", "a", (256, 4, 4), 128)]
    assert _refusal(layers) == ["memory.weights"]
    needs = [LayerNeeds(layer, 4) for layer in layers]
    prove(plan_memory(needs, MAX78000, "x"), needs, MAX78000)


@pytest.mark.parametrize(
    ("layers", "rule"),
    [
        ([conv("a", "x", (3, 120, 120), 100)], "memory.data"),
        ([conv("a", "x", (3, 80, 80), 99), conv("b", "a", (99, 80, 80), 99)], "memory.data"),
        ([conv("a", "x", (4, 8, 8), 1025)], "limit.channels"),
        ([conv("a", "x", (1, 1025, 4), 4)], "limit.side"),
        ([conv("a", "x", (1088, 2, 2), 4, taps=1)], "limit.passes"),
        ([conv("a", "x", (1, 1500, 1500), 4)], "limit.pixels"),
        ([linear("a", "x", (4, 17, 17), 4)], "limit.flatten_pixels"),
        ([linear("a", "x", (128, 14, 14), 4)], "limit.flatten_features"),
        ([passthrough("a", "x", (4, 34, 34), 17)], "limit.pool"),
        ([passthrough("a", "x", (72, 8, 8), 2)], "limit.pool_passes"),
        ([conv(f"l{i}", f"l{i - 1}" if i else "x", (4, 4, 4), 4) for i in range(33)],
         "limit.layers"),
        ([conv("a", "x", (4, 8, 8), 4), conv("b", "y", (4, 8, 8), 4)], "plan.shape"),
        ([conv("a", "x", (4, 8, 8), 4), conv("b", "a", (8, 8, 8), 4)], "plan.shape"),
        ([conv("a", "x", (4, 8, 8), 4, wide=True), conv("b", "a", (4, 8, 8), 4)], "plan.shape"),
    ],
)  # fmt: skip
def test_each_limit_is_named(layers: list[HardwareLayer], rule: str) -> None:
    """A network over one limit is refused by that limit."""
    assert rule in _refusal(layers)


def test_bias_memory_is_counted() -> None:
    """More than 512 biases do not fit one quadrant of a MAX78000."""
    layer = conv("a", "x", (4, 4, 4), 600)
    assert _refusal([layer], is_biased=True) == ["memory.bias"]
    assert plan_memory([LayerNeeds(layer)], MAX78000, "x").bias_bytes == (0, 0, 0, 0)


def test_padded_conv1d_above_64_channels_is_a_matter_of_the_part() -> None:
    """The MAX78002 refuses what the MAX78000 runs."""
    layer = conv("a", "x", (100, 16), 8)
    assert _refusal([layer], MAX78002) == ["limit.conv1d_padding"]
    prove(plan_memory([LayerNeeds(layer)], MAX78000, "x"), [LayerNeeds(layer)], MAX78000)

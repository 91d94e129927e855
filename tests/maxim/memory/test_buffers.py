"""Rolling buffers: sizes by hand, and planner and reader computing the same apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.maxim.memory.test_planner import check, conv

from nibblefit_maxim.layers import HardwareLayer, Pool, PoolKind
from nibblefit_maxim.memory.buffers import Rolling, rolling, streams_within
from nibblefit_maxim.memory.kernels import place_columns
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.parts import MAX78000, MAX78002, PARTS, Part
from nibblefit_maxim.reading.entry import LayerEntry
from nibblefit_maxim.reading.placed import Placed
from nibblefit_maxim.reading.rolling import buffer_words


def pooled(  # noqa: PLR0917 - one row of a table
    name: str, source: str, channels: int, side: int, window: int, stride: int
) -> LayerNeeds:
    """Return a padded 3×3 convolution behind a pooling window."""
    need = conv(name, (source,), channels, 8, side=side)
    out = (side + stride - window) // stride
    pool = Pool(PoolKind.MAX, (window, window), (stride, stride), (1, 1))
    layer = replace(need.layer, pool=pool, output_shape=(8, out, out))
    return replace(need, layer=layer)


def test_registers_of_the_smaller_device() -> None:
    """A first layer that pools 2×2 on 100 columns, then one that pools 2×2 on 50."""
    needs = [pooled("a", "x", 3, 100, 2, 2), pooled("b", "a", 8, 50, 2, 2)]
    first = rolling(needs, 0, MAX78000, is_chw=False)
    assert first == Rolling((100 + 2) * 2, 1, 100, (100 + 2) * 2 + 100 + 2)
    # 50 columns behind the pool, padded to 52; three rows of them, two taps, the window, two.
    start = 52 * 3 + 2 + 2 + 2
    assert rolling(needs, 1, MAX78000, is_chw=False) == Rolling(start, 2, 52 + 2, start + 50 + 2)
    assert rolling(needs, 0, MAX78000, is_chw=True).words == 12


def test_registers_of_the_larger_device() -> None:
    """The same network with that device's own formulas; the last window of a row, which ends at
    its edge, does not count, so two columns are skipped.
    """
    needs = [pooled("a", "x", 3, 100, 2, 2), pooled("b", "a", 8, 50, 2, 2)]
    start = 2 * 102 + 1 + 2 * 2
    assert rolling(needs, 0, MAX78002, is_chw=False) == Rolling(
        start, 2, 100 + 2 + 1, start + 2 + 102
    )
    start = 1 * 52 + 2 * 52 + 1 + 2 * 2
    assert rolling(needs, 1, MAX78002, is_chw=False) == Rolling(start, 2, 50 + 2, start + 2)
    assert rolling(needs, 0, MAX78002, is_chw=True).words == (2 * 102 + 5 + 2 + 102) * 2 * 4


@pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.name)
def test_planner_and_reader_agree_on_every_size(part: Part) -> None:
    """Random windows, strides, sides and channels; two computations written apart."""
    for seed in range(200):
        random = np.random.default_rng(seed)
        side, before = int(random.integers(24, 200)), None
        channels, needs = int(random.integers(1, 17)), []
        for index in range(3):
            window, stride = (int(v) for v in random.integers(1, 4, 2))
            need = pooled(f"l{index}", f"l{index - 1}", channels, side, window, stride)
            needs.append(need)
            side, channels = need.layer.output_shape[1], int(random.choice([8, 64, 130]))
            layer: HardwareLayer = need.layer
            entry = LayerEntry(index, 1, {}, {}, layer.name, layer.operator, None, 1, (3, 3), 1)
            item = Placed(entry, layer, layer.output_shape, (index - 1,))
            expected = buffer_words(item, before, part)
            assert rolling(needs, index, part, is_chw=False).words == expected, seed
            before = layer


def test_stream_that_the_registers_cannot_hold_is_not_planned() -> None:
    """The word count of a window of 16 on a wide image leaves fourteen bits."""
    wide = [pooled("a", "x", 3, 1000, 16, 16)]
    assert not streams_within(wide, 1, MAX78000, is_chw=False)
    assert streams_within([pooled("a", "x", 3, 200, 2, 2)], 1, MAX78000, is_chw=False)


def test_image_too_large_for_the_larger_device_streams_there() -> None:
    """A 400×400 image; every buffer lies apart, with a word between."""
    needs = [conv("a", ("x",), 3, 16, side=400), pooled("b", "a", 16, 400, 4, 4)]
    plan = check(needs, MAX78002)
    assert [layer.streaming for layer in plan.layers] == [True, True]
    first, second = plan.layers
    spans = sorted([(first.in_offset, first.input_bytes), (second.in_offset, second.input_bytes)])
    assert spans[0][0] + spans[0][1] < spans[1][0]


def test_further_words_are_filled_from_their_end() -> None:
    """Layers on processors 0 and 16 alone lie at the end of 5,120 words, others at the start."""
    needs = [conv("a", ("x",), 1, 64, side=8), conv("b", ("a",), 2, 40, side=8),
             conv("c", ("b",), 2, 8, side=8)]  # fmt: skip
    columns, used = place_columns(needs, [1, 0x10001, 0x3], MAX78002)
    assert columns == [5120 - 64, 5120 - 64 - 40, 0]
    assert (used[0], used[1], used[16]) == (64 + 40 + 8, 8, 64 + 40)
    deep = LayerNeeds(replace(needs[1].layer, groups=2, output_shape=(2, 8, 8)))
    assert place_columns([deep], [0x10001], MAX78002)[0] == [5116]
    assert place_columns([deep], [0x10001], MAX78002, [300])[0] == [0]

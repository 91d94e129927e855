"""The cycle estimate against the vendor's own numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from nibblefit_maxim.layers import HardwareLayer, Operator, Pool, PoolKind
from nibblefit_maxim.memory.cycles import layer_cycles
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.proving.comparison import compare_plan


def test_vendor_mnist_network_takes_what_the_vendor_says(shared: Path) -> None:
    """The compiler prints 1 + 48,956 + 16,664 + 4,012 + 332 + 192 = 70,157."""
    compared = compare_plan(shared / "vendor" / "maxim" / "nets" / "mnist")
    assert [layer.cycles for layer in compared.vendor.layers] == [48956, 16664, 4012, 332, 192]
    assert compared.vendor.cycles == compared.ours.cycles == 70157
    assert compared.ours.milliseconds == pytest.approx(70157 / 50e6 * 1e3)


def test_layer_without_convolution_reads_and_writes_every_position() -> None:
    """8 channels, 2×2 windows on 16×16: 64 · (5 reads + 8 writes)."""
    pool = Pool(PoolKind.MAX, (2, 2), (2, 2), (1, 1))
    layer = HardwareLayer("p", Operator.PASSTHROUGH, ("x",), (8, 16, 16), (8, 8, 8), pool=pool)
    assert layer_cycles(LayerNeeds(layer), 0xFF) == 64 * (5 + 8)


def test_streaming_and_gaps_cost_cycles() -> None:
    """Half as much again, and one slot more per gap."""
    layer = HardwareLayer(
        "c", Operator.CONV2D, ("x",), (4, 8, 8), (4, 8, 8), kernel=(1, 1), pad=(0, 0)
    )
    plain = layer_cycles(LayerNeeds(layer), 0xF)
    assert plain == 8 * 8 * (2 + 4)
    assert layer_cycles(LayerNeeds(layer), 0xF, streaming=True) == plain * 3 // 2
    assert layer_cycles(LayerNeeds(layer), 0x17) == 8 * 8 * (2 + 5)

"""Limits of the devices that no placement can mend, and the parameter memories."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.maxim.linting.cases import IN3, ONE, Case, lint_case

WIDE = "op: conv2d, kernel_size: 1x1, pad: 0, processors: 0xffffffffffffffff, "
LIMITS: dict[str, tuple[Case, str, str]] = {
    "channels": (
        Case(WIDE, shape=(2048, 1, 1)), "part-limit", "2048 channels; the MAX78000 has 1024"
    ),
    "passes": (Case(WIDE, shape=(2048, 1, 1)), "part-limit", "32 input passes"),
    "side": (Case(IN3 + ONE, shape=(3, 1, 1025)), "part-limit", "1025 rows or columns"),
    "pixels": (
        Case(WIDE, shape=(1024, 512, 512)), "part-limit", "pixels times passes reach 2097152"
    ),
    "flattened positions": (
        Case(IN3 + "op: linear, flatten: true", shape=(3, 17, 17)), "flatten", "289 positions"
    ),
    "flattened features": (
        Case("processors: 0xffffffffffffffff, op: linear, flatten: true", shape=(128, 16, 16)),
        "flatten", "more than 16384 features",
    ),
    "groups": (
        Case("processors: 0xf, groups: 2, " + ONE, part="max78002", shape=(4, 2, 2),
             weights=((4, 2, 1, 1),)), "groups", "2 groups of 4 channels",
    ),
    "read gap": (
        Case(WIDE + "read_gap: 1", part="max78002", shape=(128, 2, 2)), "read-gap", "2 input passes"
    ),
    "pooling passes": (
        Case("op: none, processors: 0xffffffffffffffff, max_pool: 2, pool_stride: 2",
             shape=(128, 4, 4)), "pooling", "a layer without operator pools 2 passes",
    ),
    "padded 1-D": (
        Case("op: conv1d, kernel_size: 3, pad: 1, processors: 0xffffffffffffffff",
             part="max78002", shape=(128, 8)), "pad-size", "has 128 inputs",
    ),
    "dilation": (
        Case(IN3 + "op: conv1d, kernel_size: 2, pad: 0, dilation: 1024", shape=(3, 1024)),
        "dilation", "dilation 1024; the MAX78000 has up to 1023",
    ),
    "emulated operands": (
        Case("eltwise: add, operands: 3, " + WIDE, shape=(384, 2, 2)),
        "eltwise", "3 operands in 2 passes neither pool nor convolve",
    ),
    "biased operands": (
        Case("eltwise: add, operands: 2, " + IN3 + ONE, part="max78002", shape=(6, 2, 2),
             weights=((4, 3, 1, 1),), bias=128.0), "eltwise", "in front of a biased operator",
    ),
    "linear streams": (
        Case("processors: 1, op: linear, streaming: true", shape=(1, 1, 1), fifo=True),
        "streaming-kind", "a linear layer cannot stream",
    ),
    "last stream without pad": (
        Case(IN3 + "op: conv2d, kernel_size: 3x3, pad: 0, streaming: true", fifo=True),
        "streaming-kind", "must have pad 1 or 2",
    ),
    "data format": (
        Case(IN3 + ONE + "\nprocessors: 1, data_format: CHW, " + ONE), "bad-value",
        "only the first layer can read CHW",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LIMITS)
def test_limit_of_the_part_is_named(what: str, tmp_path: Path) -> None:
    """Each size that no placement can mend is found with its numbers."""
    case, rule, words = LIMITS[what]
    found = [f.message for f in lint_case(case, tmp_path).findings if f.rule.name == rule]
    assert any(words in message for message in found), found


def test_weights_that_fit_in_sum_but_at_no_common_column(tmp_path: Path) -> None:
    """Every processor has room, but no column is free on both processors of the last layer.

    Processor 0 is full up to column 448, processor 4 from there on.
    """
    layers = "\n".join(
        f"op: conv2d, kernel_size: 3x3, pad: 1, processors: {read:#x}, out_channels: {count}, "
        f"output_processors: 0xffffffffffffffff, in_offset: 0, in_sequences: {source}"
        for read, count, source in (
            (0x1, 448, "-1"), (0x100, 448, "-1"), (0x110, 320, "[-1, -1]"), (0x11, 256, "[-1, -1]")
        )
    )  # fmt: skip
    lint = lint_case(Case(layers, shape=(1, 2, 2)), tmp_path)
    found = [(f.line, f.message) for f in lint.errors if f.rule.name == "weight-memory"]
    assert [line for line, _ in found] == [7]
    assert "no 256 words of weight memory are free at one column on all its 2" in found[0][1]


def test_weights_of_several_layers_add_up(tmp_path: Path) -> None:
    """Three layers of 320 words on one processor need 960 of 768; the first of them is named."""
    layers = "\n".join(
        "op: conv2d, kernel_size: 3x3, pad: 1, processors: 0x1, out_channels: 320, "
        f"output_processors: 0xffffffffffffffff, in_offset: 0, in_sequences: -1, name: l{index}"
        for index in range(3)
    )
    lint = lint_case(Case(layers, shape=(1, 2, 2)), tmp_path)
    (found,) = (f.message for f in lint.errors if f.rule.name == "weight-memory")
    assert (
        "processor 0 needs 960 words of weight memory; the MAX78000 has 768, 192 too few" in found
    )


def test_extended_memories_of_the_max78002_count(tmp_path: Path) -> None:
    """Processor 0 holds 5,120 words there, its neighbours 4,096."""
    line = (
        "op: conv2d, kernel_size: 3x3, pad: 1, processors: {}, out_channels: 1024, "
        "output_processors: 0xffffffffffffffff, in_offset: 0, in_sequences: -1"
    )

    def errors(processor: str) -> set[str]:
        layers = "\n".join([line.format(processor)] * 5)
        case = Case(layers, part="max78002", shape=(1, 2, 2))
        return {f.rule.name for f in lint_case(case, tmp_path).errors}

    assert "weight-memory" not in errors("0x1")
    assert "weight-memory" in errors("0x2")

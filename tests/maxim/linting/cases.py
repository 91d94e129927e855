"""Files that break one rule each, and how they are linted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nibblefit_maxim.linting.lint import Lint, LintOptions, lint_file
from nibblefit_maxim.parts import part_named

ROOT = Path(__file__).resolve().parents[3]
RESIDUAL = ROOT / "examples" / "maxim" / "residual.yaml"
HEAD = "arch: a\ndataset: b\nlayers:\n"
#: The same with a rolling buffer; layers begin in line 5.
BUFFER = (
    "arch: a\ndataset: b\n"
    "data_buffer: [{processors: 7, channels: 3, dim: 8, offset: 0x7000, name: tcn}]\nlayers:\n"
)
#: The stem of most layers here: a 1×1 convolution, everything written out.
ONE = "op: conv2d, kernel_size: 1x1, pad: 0, "


@dataclass(frozen=True)
class Case:
    """A file that breaks one rule.

    Attributes:
        layers: One layer per line, comma separated.
        line: Line of the finding.
        weights: Shapes of all-one weights in a checkpoint; empty: no checkpoint.
        change: Keys of the checkpoint to replace; None deletes.
        head: What stands in front of the layers.
    """

    layers: str
    line: int = 4
    part: str = "max78000"
    shape: tuple[int, ...] = (3, 8, 8)
    weights: tuple[tuple[int, ...], ...] = ()
    bias: float | None = None
    change: dict[str, Any] = field(default_factory=dict)
    fifo: bool = False
    overlap: bool = False
    text: str = ""
    head: str = ""


IN3 = "processors: 7, "
STREAM = "op: conv2d, kernel_size: 3x3, pad: 1, streaming: true, "

CASES: dict[str, Case] = {
    "yaml-syntax": Case("", 2, text="arch: a\n\tb: c"),
    "yaml-alias": Case("", 3, text="arch: a\ndataset: b\nlayers: &x [{processors: 1}, *x]"),
    "unknown-key": Case(IN3 + ONE + "padd: 1"),
    "duplicate-key": Case(IN3 + ONE + "operator: conv2d"),
    "missing-key": Case(ONE + "out_offset: 0x2000"),
    "bad-value": Case(IN3 + "op: conv2d, pad: 9"),
    "layer-name": Case(IN3 + ONE + "name: Stop, out_offset: 0x2000"),
    "kernel-size": Case(IN3 + "op: conv2d, kernel_size: 5x5"),
    "pad-size": Case(IN3 + "op: conv2d, kernel_size: 1x1, pad: 1"),
    "conv1d-pad-trap": Case(IN3 + "op: conv1d\nprocessors: 1, op: conv2d", 5),
    "stride": Case(IN3 + "op: conv2d, stride: 2"),
    "dilation": Case(IN3 + "op: conv1d, kernel_size: 5, dilation: 9, pad: 0", shape=(3, 99)),
    "groups": Case(IN3 + ONE + "groups: 3"),
    "pooling": Case(IN3 + ONE + "max_pool: 2, pool_stride: [2, 1]"),
    "pooling-size": Case(IN3 + ONE + "max_pool: 9, pool_stride: 1"),
    "flatten": Case(IN3 + "op: linear, flatten: true, max_pool: 2"),
    "activation": Case(IN3 + "op: none, activate: relu"),
    "eltwise": Case(IN3 + "op: conv2d, operands: 2"),
    "binary-weights": Case(IN3 + ONE + "quantization: binary"),
    "read-gap": Case(IN3 + ONE + "read_gap: 1"),
    "part-limit": Case(IN3 + ONE + "out_offset: 0x20004"),
    "in-sequences": Case(IN3 + ONE + "in_sequences: 3"),
    "shape": Case(IN3 + "op: linear"),
    "concat-shape": Case(
        IN3 + ONE + "out_offset: 0x2000, output_processors: 0xf\n"
        + IN3 + ONE + "in_sequences: -1, in_offset: 0, max_pool: 2, pool_stride: 2, "
        "output_processors: 0xf0, out_offset: 0x2000\n"
        "processors: 0xff, in_sequences: [0, 1], " + ONE + "out_offset: 0", 6,
    ),
    "concat-multiple": Case(
        IN3 + ONE + "out_offset: 0x2000, output_processors: 0x7\n"
        + IN3 + ONE + "in_sequences: input, in_offset: 0, output_processors: 0x38, "
        "out_offset: 0x2000\nprocessors: 0x3f, in_sequences: [0, 1], " + ONE + "out_offset: 0", 6,
        weights=((3, 3, 1, 1), (3, 3, 1, 1), (4, 6, 1, 1)),
    ),
    "checkpoint-arch": Case(IN3 + ONE, 0, weights=((4, 3, 1, 1),), change={"arch": "other"}),
    "checkpoint-layers": Case(
        IN3 + ONE + "out_offset: 0x2000\nprocessors: 0xf, " + ONE, 5, weights=((4, 3, 1, 1),)
    ),
    "checkpoint-shape": Case(IN3 + ONE, weights=((4, 3, 3, 3),)),
    "checkpoint-unreadable": Case(IN3 + ONE, 0, weights=((4, 3, 1, 1),), change={"epoch": None}),
    "checkpoint-surplus": Case(IN3 + ONE, 0, weights=((4, 3, 1, 1), (4, 4, 1, 1))),
    "checkpoint-unnamed": Case(IN3 + ONE, 0, weights=((4, 3, 1, 1),), change={"arch": None}),
    "batch-norm": Case(IN3 + ONE, 0, weights=((4, 3, 1, 1), (4,))),
    "weights-float": Case(IN3 + ONE, weights=((4, 3, 1, 1),), change={"scale": 0.3}),
    "weights-width": Case(
        IN3 + ONE + "quantization: 4", weights=((4, 3, 1, 1),), change={"scale": 9}
    ),
    "weights-zero": Case(IN3 + ONE, weights=((4, 3, 1, 1),), change={"scale": 0}),
    "bias-width": Case(IN3 + ONE, weights=((4, 3, 1, 1),), bias=128.0 * 200),
    "shift-range": Case(IN3 + ONE + "output_shift: 16", weights=((4, 3, 1, 1),)),
    "input-map": Case("processors: 3, " + ONE + "out_offset: 0x2000"),
    "output-map": Case(IN3 + ONE + "output_processors: 7", weights=((4, 3, 1, 1),)),
    "output-map-reader": Case(
        IN3 + ONE + "output_processors: 0xf, out_offset: 0x2000\nprocessors: 0xf0, " + ONE, 5
    ),
    "passthrough-map": Case(IN3 + "op: none, output_processors: 0x15, out_offset: 0x2000"),
    "depthwise-map": Case(
        "processors: 0xf, groups: 4, output_processors: 0x1e, out_offset: 0x2000, " + ONE,
        part="max78002", shape=(4, 8, 8),
    ),
    "chw-instance": Case(IN3 + ONE + "data_format: CHW, out_offset: 0x2000"),
    "quadrant-0": Case(
        "processors: 0x70000, output_processors: 0xf0000, out_offset: 0x2000, " + ONE, 0
    ),
    "bias-group": Case(IN3 + ONE + "bias_group: 2"),
    "data-size": Case(IN3 + ONE + "in_offset: 0x7f80, out_offset: 0"),
    "write-gap-size": Case(
        IN3 + ONE + "out_offset: 0x6000, write_gap: 3", shape=(3, 32, 32)
    ),
    "overwrites-input": Case(IN3 + ONE + "out_offset: 0x80"),
    "overlap-data": Case(IN3 + ONE + "out_offset: 0x80", overlap=True),
    "overwrites-live": Case(
        IN3 + ONE + "out_offset: 0x1000\nprocessors: 0xf, " + ONE + "out_offset: 0x2000\n"
        "processors: 0xf, " + ONE + "out_offset: 0x1000\n"
        "processors: 0xf, in_sequences: 0, in_offset: 0x1000, out_offset: 0x3000, " + ONE, 6,
    ),
    "reads-unwritten": Case(
        IN3 + ONE + "out_offset: 0x1000\nprocessors: 0xf, in_offset: 0x4000, " + ONE, 5
    ),
    "reads-other": Case(
        IN3 + ONE + "out_offset: 0x1000\nprocessors: 0xf, " + ONE + "out_offset: 0x2000\n"
        "processors: 0xf, in_sequences: 0, in_offset: 0x2000, out_offset: 0x3000, " + ONE, 6,
    ),
    "weight-memory": Case(
        "processors: 0xffffffffffffffff, out_channels: 1024, op: conv2d, pad: 1, "
        "output_processors: 0xffffffffffffffff, out_offset: 0x2000", shape=(64, 2, 2),
    ),
    "bias-memory": Case(
        IN3 + ONE + "output_processors: 0xffffffffffffffff, out_offset: 0x2000",
        weights=((1024, 3, 1, 1),), bias=128.0, shape=(3, 2, 2),
    ),
    "streaming-order": Case(
        IN3 + ONE + "out_offset: 0x1000\nprocessors: 0xf, " + STREAM + "out_offset: 0x2000", 5
    ),
    "streaming-fifo": Case(IN3 + STREAM + "out_offset: 0x2000"),
    "fifo-map": Case("processors: 0x70, " + STREAM + "out_offset: 0x2000", fifo=True),
    "streaming-buffers": Case(
        IN3 + STREAM + "out_offset: 0x0\nprocessors: 0xf, in_offset: 0, " + STREAM
        + "out_offset: 0x4000", fifo=True,
    ),
    "streaming-kind": Case(
        IN3 + "op: none, streaming: true, out_offset: 0x2000", part="max78002", fifo=True
    ),
    "streaming-bias": Case(
        IN3 + STREAM + "out_offset: 0x2000", fifo=True, weights=((4, 3, 3, 3),), bias=128.0
    ),
    "not-modelled": Case(IN3 + ONE + "in_sequences: tcn, in_dim: 8, in_channels: 3, in_offset: 0",
                         5, head=BUFFER),
    "data-buffer": Case(IN3 + ONE + "buffer_shift: 1"),
    "partial-channels": Case(
        IN3 + ONE + "output_processors: 0xff, out_offset: 0x2000\n"
        "processors: 0xf, in_channels: 4, in_offset: 0x2000, out_offset: 0x4000, " + ONE, 5,
    ),
    "split-operands": Case(
        IN3 + ONE + "output_processors: 0xf, out_offset: 0x2000\n"
        "processors: 0x3, output_processors: 0x3, in_offset: 0x2000, out_offset: 0x4000, op: add",
        5,
    ),
    "debug-aid": Case(IN3 + ONE + "snoop_sequence: 0"),
    "implicit-default": Case("processors: 7, pad: 1, kernel_size: 3x3, out_offset: 0x2000"),
    "both-pools": Case(
        IN3 + ONE + "max_pool: 2, avg_pool: 2, pool_stride: 2, out_offset: 0x2000"
    ),
    "pool-dilation-1d": Case(
        IN3 + "op: conv1d, kernel_size: 1, pad: 0, max_pool: 2, pool_stride: 2, pool_dilation: 2",
        part="max78002", shape=(3, 16),
    ),
    "narrow-map": Case(
        IN3 + ONE + "quantization: 4, output_processors: 0x1e, out_offset: 0x2000"
    ),
    "input-unknown": Case(IN3 + ONE, 0, shape=()),
    "checkpoint-absent": Case(IN3 + ONE, 0),
    "not-followed": Case(IN3 + "op: conv2d, kernel_size: 5x5", 0),
    "sample": Case(IN3 + ONE, 0, text="sample"),
}  # fmt: skip


def checkpoint(path: Path, case: Case) -> Path:
    """Write a checkpoint of all-one weights, changed as the case wants."""
    change = dict(case.change)
    scale, state = change.pop("scale", 1), {}
    for index, shape in enumerate(case.weights):
        state[f"w{index}.op.weight"] = torch.full(shape, float(scale))
        state[f"w{index}.weight_bits"] = torch.tensor([8.0])
        if case.bias is not None:
            state[f"w{index}.op.bias"] = torch.full((shape[0],), case.bias)
    content = {"epoch": 0, "arch": "a", "state_dict": state, **change}
    torch.save({key: value for key, value in content.items() if value is not None}, path)
    return path


def lint_case(case: Case, folder: Path) -> Lint:
    """Lint the file of one case."""
    lines = "".join(
        f"  - {{{line.rstrip(', ')}{'' if 'out_offset' in line else ', out_offset: 0x3000'}}}\n"
        for line in case.layers.splitlines()
    )
    path = folder / "net.yaml"
    sample = None
    if case.text == "sample":
        sample = folder / "sample.npy"
        np.save(sample, np.full((3, 8, 8), 200.0))
    path.write_text(case.text if case.text and sample is None else (case.head or HEAD) + lines)
    options = LintOptions(
        checkpoint(folder / "c.pth.tar", case) if case.weights else None,
        sample, case.shape, case.fifo, case.overlap,
    )  # fmt: skip
    return lint_file(path, part_named(case.part), options)

"""Whatever stands in a file, the linter answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.maxim.linting.cases import RESIDUAL

from nibblefit_maxim.linting.lint import LintOptions, lint_file
from nibblefit_maxim.parts import part_named

VALUES = (
    "0", "1", "-1", "9", "0x7", "0xffffffffffffffff", "true", "none", "[1, 2]", "3x3", "1x1",
    "conv1d", "conv2d", "linear", "add", "passthrough", "convtranspose2d", "input", "0x7ffc", "32",
    "1000000", "{a: 1}",
)  # fmt: skip
KEYS = (
    "pad", "op", "processors", "output_processors", "in_offset", "out_offset", "write_gap",
    "in_sequences", "operands", "eltwise", "flatten", "max_pool", "pool_stride", "kernel_size",
    "in_dim", "in_channels", "out_channels", "groups", "dilation", "quantization", "streaming",
    "output_width", "name", "bypass", "weight_source", "read_gap", "data_format", "output",
    "bias_group", "output_shift", "pool_dilation", "avg_pool",
)  # fmt: skip


@given(
    changes=st.lists(
        st.tuples(st.integers(5, 50), st.sampled_from(KEYS), st.sampled_from(VALUES)),
        min_size=1, max_size=4,
    ),
    part=st.sampled_from(["max78000", "max78002"]),
    fifo=st.booleans(),
)  # fmt: skip
def test_no_file_breaks_the_linter(
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[int, str, str]],
    part: str,
    fifo: bool,
) -> None:
    """Whatever stands in a file, findings come out, each with words and a line inside the file."""
    lines = RESIDUAL.read_text().splitlines()
    for at, key, value in changes:
        # A line in place of another: keys change, double, vanish, and land outside of layers.
        lines[min(at, len(lines) - 1)] = f"    {key}: {value}"
    path = tmp_path_factory.mktemp("lint") / "net.yaml"
    path.write_text("\n".join(lines))
    lint = lint_file(path, part_named(part), LintOptions(input_shape=(3, 16, 16), fifo=fifo))
    assert all(f.message and 0 <= f.line <= len(lines) for f in lint.findings)

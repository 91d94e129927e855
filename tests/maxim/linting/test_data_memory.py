"""Data memory: what is read where nothing was written, and what is overwritten too early."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.maxim.linting.cases import IN3, ONE, RESIDUAL, Case, lint_case

from nibblefit_maxim.linting.lint import Lint, LintOptions, lint_file
from nibblefit_maxim.parts import part_named
from nibblefit_maxim.reading.problems import Problems


def lint_residual(folder: Path, old: str, new: str) -> Lint:
    """Lint the residual network after one change."""
    text = RESIDUAL.read_text()
    assert old in text
    path = folder / "net.yaml"
    path.write_text(text.replace(old, new))
    return lint_file(path, part_named("max78000"), LintOptions(input_shape=(3, 16, 16)))


def test_hand_written_residual_network_is_right(tmp_path: Path) -> None:
    """One passthrough forms the gaps; every word is read where it lies."""
    assert not lint_residual(tmp_path, "arch", "arch").errors


def test_add_that_reads_memory_nobody_wrote(tmp_path: Path) -> None:
    """The vendor's tool accepts a wrong in_offset of an add with a warning; here it is an error."""
    lint = lint_residual(tmp_path, "in_offset: 0x2000\n    out_offset: 0x4000",
                         "in_offset: 0x6000\n    out_offset: 0x4000")  # fmt: skip
    assert {f.rule.name for f in lint.errors} == {"reads-unwritten"}
    assert "nothing was written there; it was put at byte 0x2000" in lint.errors[0].message
    assert lint.errors[0].line == RESIDUAL.read_text().splitlines().index(
        "    in_offset: 0x2000", 45) + 1  # fmt: skip


def test_layer_that_overwrites_its_own_input(tmp_path: Path) -> None:
    """A branch layer may overwrite what it reads in the vendor's tool; here it is an error."""
    lint = lint_residual(tmp_path, "out_offset: 0x4000", "out_offset: 0x2100")
    assert {f.rule.name for f in lint.errors} == {"overwrites-input"}


def test_missing_gap_is_seen_where_the_data_is_destroyed(tmp_path: Path) -> None:
    """Without write_gap the third layer overwrites the copy; its own line is named."""
    lint = lint_residual(tmp_path, "out_offset: 0x2004\n    write_gap: 1", "out_offset: 0x2004")
    assert {f.rule.name for f in lint.errors} == {"overwrites-live", "reads-other"}


def test_wrong_order_of_operands_is_seen(tmp_path: Path) -> None:
    """The first sequence must be the one at the base offset; subtracting depends on it."""
    lint = lint_residual(tmp_path, "[copy, third]", "[third, copy]")
    assert {f.rule.name for f in lint.errors} == {"reads-other"}


def test_output_of_the_network_must_survive(tmp_path: Path) -> None:
    """An output that a later layer overwrites is an error of that layer."""
    case = Case(
        IN3 + ONE + "out_offset: 0x1000, output: true\nprocessors: 0xf, " + ONE
        + "out_offset: 0x2000\nprocessors: 0xf, " + ONE + "out_offset: 0x1000"
    )  # fmt: skip
    lint = lint_case(case, tmp_path)
    assert [(f.line, f.rule.name) for f in lint.errors] == [(6, "overwrites-live")]
    assert "network's output of layer 0" in lint.errors[0].message


def test_gaps_while_reading_are_followed_on_the_max78002(tmp_path: Path) -> None:
    """A consumer with read_gap reads what a producer with write_gap left, and only then."""
    layers = (
        IN3 + ONE + "out_offset: 0x2000, write_gap: 1\n"
        "processors: 0xf, in_offset: 0x2000, read_gap: {gap}, out_offset: 0x6000, " + ONE
    )
    right = Case(layers.replace("{gap}", "1"), part="max78002")
    wrong = Case(layers.replace("{gap}", "0"), part="max78002")
    assert not lint_case(right, tmp_path).errors
    assert {f.rule.name for f in lint_case(wrong, tmp_path).errors} == {"reads-unwritten"}


def test_memory_model_of_the_planner_agrees() -> None:
    """Two memory models, written apart, both accept the right file and refuse the wrong ones."""
    from nibblefit_maxim.proving.parsed import parsed_plan
    from nibblefit_maxim.proving.prover import prove
    from nibblefit_maxim.reading.entries import read_entries
    from nibblefit_maxim.reading.network import check_network

    part = part_named("max78000")
    for change, is_right in (("0x2000\n    out_offset: 0x4000", True),
                             ("0x6000\n    out_offset: 0x4000", False),
                             ("0x2000\n    out_offset: 0x2100", False)):  # fmt: skip
        text = RESIDUAL.read_text().replace("0x2000\n    out_offset: 0x4000", change)
        entry = read_entries(text, "net.yaml", part)
        problems = Problems("net.yaml")
        resolver = check_network(entry, None, (3, 16, 16), part, problems)
        layers, plan = parsed_plan(entry, resolver.placed, part)
        assert bool(problems.blocking()) is not is_right
        assert bool(prove(layers, plan, part)) is not is_right


@pytest.mark.parametrize("seed", range(6))
def test_files_of_our_own_have_no_findings(tmp_path: Path, seed: int) -> None:
    """What the planner places and the writer writes gets neither error, warning nor note."""
    from tests.maxim.random_networks import plannable

    from nibblefit_maxim.writing.folder import write_folder

    part = part_named(("max78000", "max78002")[seed % 2])
    graph = plannable(seed, part).graph()
    sample = np.zeros(graph.tensors[graph.inputs[0]].shape, dtype=np.int64)
    flags = write_folder(graph, part, tmp_path, sample).notes["flags"]
    options = LintOptions(
        tmp_path / "checkpoint-q.pth.tar",
        fifo="--fifo" in flags, overlap="--overlap-data" in flags,
    )  # fmt: skip
    assert lint_file(tmp_path / "network.yaml", part, options).findings == ()

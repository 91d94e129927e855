"""README and command line: everything that the files need, and what to mind."""

from __future__ import annotations

from dataclasses import replace

from tests.maxim.memory.test_planner import conv

from nibblefit.results import Status
from nibblefit_maxim.layers import IntegerLayer, Pool, PoolKind
from nibblefit_maxim.memory.figures import fit_report
from nibblefit_maxim.memory.planner import plan_memory
from nibblefit_maxim.parts import MAX78000, MAX78002
from nibblefit_maxim.writing.command import arithmetic_flags, command_line, host_flags
from nibblefit_maxim.writing.readme import readme


def test_readme_and_command_carry_every_option_that_the_files_need() -> None:
    """FIFO, overlapping data, rounded averages, softmax, and the doubt about a biased stream."""
    wide = conv("a", ("x",), 3, 16, side=128)
    pool = Pool(PoolKind.MAX, (2, 2), (2, 2), (1, 1))
    needs = [
        replace(wide, is_biased=True),
        replace(wide, layer=replace(wide.layer, name="b", inputs=("a",), pool=pool,
                                    input_shape=(16, 128, 128), output_shape=(8, 64, 64))),
    ]  # fmt: skip
    plan = replace(plan_memory(needs, MAX78000, "x"), overlaps=True)
    text = readme(plan, "net", "digits", ("--avg-pool-rounding", "--softmax"))
    line = command_line(plan, "net", "digits", folder=".", flags=("--avg-pool-rounding",))
    for flag in ("--fifo", "--overlap-data", "--avg-pool-rounding"):
        assert flag in text
        assert flag in line.split()
    assert "'a' streams and has a bias" in text
    assert "The first layers stream and a have a bias" in text
    assert [
        finding.rule for finding in fit_report(plan).findings if finding.status is not Status.PASSED
    ] == ["memory.doubt"]
    assert replace(plan, part=MAX78002).doubts() == ()


def test_options_follow_from_the_layers() -> None:
    """Rounded averages are a flag; softmax is one where the last layer writes 32 bits."""
    item = IntegerLayer(conv("a", ("x",), 3, 8).layer)
    rounded = Pool(PoolKind.AVG, (2, 2), (2, 2), (1, 1), is_rounded=True)
    pooled = replace(item, layer=replace(item.layer, pool=rounded))
    assert arithmetic_flags([item]) == ()
    assert arithmetic_flags([pooled]) == ("--avg-pool-rounding",)
    host = {"nodes": (("s", "softmax", "a", {}, (8,)),)}
    last = replace(item, layer=replace(item.layer, wide=True))
    assert host_flags(host, [last]) == ("--softmax",)
    assert host_flags(host, [item]) == host_flags({}, [last]) == ()

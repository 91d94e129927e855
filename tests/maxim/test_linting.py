"""The linter: every rule has a file that breaks it, and files that are right break none."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.maxim.vectors import NETS, REJECT_BASES, names_in, rejected

from nibblefit.cli import main
from nibblefit.errors import InputError
from nibblefit_maxim.linting.lint import Lint, LintOptions, lint_file
from nibblefit_maxim.linting.wording import json_of, lines_of, rules_table
from nibblefit_maxim.parts import part_named
from nibblefit_maxim.reading.problems import Problems
from nibblefit_maxim.rules import RULES, Severity

ROOT = Path(__file__).resolve().parents[2]
HEAD = "arch: a\ndataset: b\nlayers:\n"
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
    "not-modelled": Case(IN3 + ONE + "buffer_shift: 1"),
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
    path.write_text(case.text if case.text and sample is None else HEAD + lines)
    options = LintOptions(
        checkpoint(folder / "c.pth.tar", case) if case.weights else None,
        sample, case.shape, case.fifo, case.overlap,
    )  # fmt: skip
    return lint_file(path, part_named(case.part), options)


@pytest.mark.parametrize("rule", CASES)
def test_rule_finds_a_file_that_breaks_it(rule: str, tmp_path: Path) -> None:
    """Rule and line are reported, with words for what was found and a remedy."""
    found = [f for f in lint_case(CASES[rule], tmp_path).findings if f.rule.name == rule]
    assert CASES[rule].line in {f.line for f in found}
    assert all(f.message and f.remedy for f in found)


def test_every_rule_has_a_file_that_breaks_it() -> None:
    """The table above is complete, and names no rule that does not exist."""
    assert set(CASES) == set(RULES)


#: Rules that a file of another rule cannot help breaking as well.
FOLLOWS = {
    "concat-multiple": {"overwrites-live"},
    "conv1d-pad-trap": {"overwrites-input"},
    "missing-key": {"reads-unwritten"},
    "not-followed": {"kernel-size"},
    "part-limit": {"data-size"},
}


@pytest.mark.parametrize("rule", sorted(set(CASES) - {"yaml-alias", "yaml-syntax"}))
def test_one_mistake_is_one_error(rule: str, tmp_path: Path) -> None:
    """A file with a single mistake has no error of another rule: findings do not cascade."""
    names = {f.rule.name for f in lint_case(CASES[rule], tmp_path).errors}
    assert names - FOLLOWS.get(rule, set()) <= {rule}


def test_all_findings_come_at_once(tmp_path: Path) -> None:
    """A mistake in the text does not hide one in the memory, nor one layer another's."""
    case = Case(
        IN3 + ONE + "out_offset: 0x1000, activate: reLux\n"
        "processors: 0xf, " + ONE + "in_offset: 0x4000, out_offset: 0x2000\n"
        "processors: 0xf, " + ONE + "out_offset: 0x2000, bias_group: 3\n"
        "processors: 0xf, op: conv2d, kernel_size: 7x7\n"
    )  # fmt: skip
    lint = lint_case(case, tmp_path)
    assert [(f.line, f.rule.name) for f in lint.errors] == [
        (4, "bad-value"), (5, "reads-unwritten"), (6, "bias-group"), (6, "overwrites-input"),
        (7, "kernel-size"),
    ]  # fmt: skip


def lint_net(folder: Path, *, with_checkpoint: bool) -> Lint:
    """Lint one of the vendor's networks."""
    facts = json.loads((folder / "expected.json").read_text())
    shape = np.load(folder / "input.npz")["x"].shape
    options = LintOptions(
        folder / "quantized.pth.tar" if with_checkpoint else None, None, shape,
        "--fifo" in facts["flags"],
    )  # fmt: skip
    return lint_file(folder / "net.yaml", part_named(facts["device"]), options)


@pytest.mark.parametrize("name", NETS)
def test_vendor_networks_have_no_errors(shared: Path, name: str) -> None:
    """Files that the vendor's compiler runs are right here, with and without checkpoint."""
    folder = shared / "vendor" / "maxim" / "nets" / name
    lint = lint_net(folder, with_checkpoint=True)
    assert not lint.errors
    # Two of the old checkpoints carry a layer that their network does not have.
    assert {f.rule.name for f in lint.findings} <= {"checkpoint-surplus"}
    assert not lint_net(folder, with_checkpoint=False).errors


@pytest.mark.parametrize("name", names_in("micro", ".yaml"))
def test_single_purpose_networks_have_no_errors(shared: Path, name: str) -> None:
    """135 files that exercise one feature each, without checkpoint."""
    stem = shared / "vendor" / "maxim" / "micro" / name
    facts = json.loads(Path(f"{stem}.json").read_text())
    with np.load(f"{stem}.npz") as arrays:
        shape = arrays["input"].shape
    part = part_named(facts["device"])
    assert not lint_file(Path(f"{stem}.yaml"), part, LintOptions(input_shape=shape)).errors


@pytest.mark.parametrize("case", rejected() or [{"case": "absent"}], ids=lambda c: c["case"])
def test_linter_refuses_what_the_vendor_refuses(shared: Path, case: dict[str, Any]) -> None:
    """Each of the 25 mutated files has an error; the unchanged ones have none."""
    base = shared / "vendor" / "maxim" / "nets" / REJECT_BASES[case["base"]]
    options = LintOptions(
        base / "quantized.pth.tar", None, np.load(base / "input.npz")["x"].shape,
        "--fifo" in case["flags"],
    )  # fmt: skip
    path = shared / "vendor" / "maxim" / "reject" / f"{case['case']}.yaml"
    lint = lint_file(path, part_named(case["device"]), options)
    assert bool(lint.errors) is not case["accepted"]
    assert all(f.line or f.rule.name == "missing-key" for f in lint.errors)


RESIDUAL = ROOT / "examples" / "maxim" / "residual.yaml"


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


def test_sample_beside_the_file_gives_the_shape(tmp_path: Path) -> None:
    """As the compiler does, the linter looks for sample_DATASET.npy."""
    (tmp_path / "net.yaml").write_text(RESIDUAL.read_text())
    np.save(tmp_path / "sample_digits.npy", np.zeros((3, 16, 16), np.int64))
    lint = lint_file(tmp_path / "net.yaml", part_named(""))
    assert {f.rule.name for f in lint.findings} == {"checkpoint-absent"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((1, 3, 16, 16), np.int64), "expected C,H,W or C,L"),
        (np.full((3, 16, 16), 300), "values 300 to 300"),
        (np.zeros((3, 16, 16), np.int8), "expected int64"),
        (np.zeros((3, 16, 16), np.float32), "holds float32"),
    ],
)
def test_bad_sample_is_an_error(tmp_path: Path, values: Any, words: str) -> None:
    """Shape, type and range are the compiler's."""
    np.save(tmp_path / "s.npy", values)
    lint = lint_file(RESIDUAL, part_named(""), LintOptions(sample=tmp_path / "s.npy"))
    assert [f.rule.name for f in lint.errors] == ["sample"]
    assert words in lint.errors[0].message


def test_missing_files_are_named(tmp_path: Path) -> None:
    """YAML, checkpoint and sample that do not exist end in one clear line each."""
    part = part_named("")
    nothing = tmp_path / "nothing"
    with pytest.raises(InputError, match="nothing cannot be read"):
        lint_file(nothing, part)
    with pytest.raises(InputError, match=r"checkpoint .*nothing does not exist"):
        lint_file(RESIDUAL, part, LintOptions(checkpoint=nothing))
    with pytest.raises(InputError, match=r"sample .*nothing cannot be read"):
        lint_file(RESIDUAL, part, LintOptions(sample=nothing))
    nothing.write_text("text")
    with pytest.raises(InputError, match="no numpy array"):
        lint_file(RESIDUAL, part, LintOptions(sample=nothing))


def test_command_prints_findings_and_exits_4(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines an editor can jump to; the summary is the error."""
    wrong = str(RESIDUAL.with_name("residual_wrong.yaml"))
    assert main(["maxim", "lint", wrong, "--input-shape", "3,16,16"]) == 4
    shown = capsys.readouterr()
    assert "error overwrites-input: layer 4 ('fourth')" in shown.out
    assert "residual_wrong.yaml for the MAX78000: 3 errors, 1 note" in shown.err
    assert main(["maxim", "lint", str(RESIDUAL), "--input-shape", "3x16x16"]) == 0
    assert "residual.yaml for the MAX78000: 1 note" in capsys.readouterr().out


def test_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Everything a program needs, and nothing else on stdout."""
    wrong = str(RESIDUAL.with_name("residual_wrong.yaml"))
    assert main(["maxim", "lint", wrong, "--input-shape", "3,16,16", "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert (found["errors"], found["warnings"]) == (3, 0)
    assert {"line", "rule", "severity", "expected", "found", "remedy", "vendor"} == set(
        found["findings"][0]
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--part", "max78004"], "no part 'max78004'"),
        (["--input-shape", "3"], "no shape of one input"),
        (["--input-shape", "a,b"], "no shape of one input"),
    ],
)
def test_command_explains_bad_options(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """A device that does not exist and shapes that are none: one line, exit 2."""
    assert main(["maxim", "lint", str(RESIDUAL), *words]) == 2
    assert message in capsys.readouterr().err


def test_wording_of_a_file_without_findings(tmp_path: Path) -> None:
    """Nothing found is said as such."""
    lint = Lint("f.yaml", "MAX78000", ())
    assert lint.summary == "f.yaml for the MAX78000: nothing found"
    assert lines_of(lint) == []
    assert json_of(lint)["errors"] == 0


def test_manual_has_the_table_of_all_rules() -> None:
    """The page's table is the registry's; a new rule cannot be forgotten there."""
    page = (ROOT / "docs" / "targets" / "maxim-lint.md").read_text()
    assert rules_table() in page


def test_rules_have_severity_and_remedy() -> None:
    """Every rule is usable: a name, a sentence, a remedy; only notes lack a vendor verdict."""
    for name, rule in RULES.items():
        assert name == rule.name
        assert rule.summary
        assert rule.remedy
        assert rule.severity in Severity
    with pytest.raises(KeyError):
        Problems("f").add(1, "no-such-rule", "x")


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
        Case(IN3 + ONE + "\nprocessors: 1, data_format: HWC, " + ONE), "not-modelled",
        "first layer only",
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

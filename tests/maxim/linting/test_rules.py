"""The linter's rules: every one has a file that breaks it, and mistakes do not cascade."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.maxim.linting.cases import CASES, IN3, ONE, ROOT, Case, lint_case

from nibblefit_maxim.linting.wording import rules_table
from nibblefit_maxim.reading.problems import Problems
from nibblefit_maxim.rules import RULES, Severity


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

"""The vendor's files: what its compiler runs has no errors, what it refuses has one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.maxim.vectors import NETS, REJECT_BASES, names_in, rejected

from nibblefit_maxim.linting.lint import Lint, LintOptions, lint_file
from nibblefit_maxim.parts import part_named


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

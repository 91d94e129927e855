"""`make bench`: measure the engine beside its peers and rebuild docs/results.md."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from engine import main  # noqa: E402

from benchmarks.maxim_engine import integer_evaluation  # noqa: E402 - needs the path above
from benchmarks.maxim_plans import qat_steps  # noqa: E402 - needs the path above
from benchmarks.section import Section, write_page  # noqa: E402 - needs the path above
from benchmarks.tao_pruning import pruning_race  # noqa: E402 - needs the path above
from benchmarks.vitis_calibration import calibration_race  # noqa: E402 - needs the path above

SHARED = ROOT.parent / "shared"


def maxim() -> list[Section]:
    """Measure training and integer evaluation of `maxim`; the latter needs the vendor's files."""
    found = [qat_steps()]
    if SHARED.is_dir():
        nets = SHARED / "vendor" / "maxim" / "nets"
        found.append(integer_evaluation(nets, SHARED / "data" / "mnist"))
    else:
        print("the vendor's networks (../shared) are absent: no integer evaluation of them")
    return found


if __name__ == "__main__":
    if "--json" not in sys.argv:
        sys.argv += ["--json", "docs/results/bench.json"]
    main()
    for section in (*maxim(), calibration_race(), pruning_race()):
        section.save()
        print(section.text())
    write_page()

"""`make bench`: measure the engine beside its peers and rebuild docs/results.md."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from engine import main  # noqa: E402

from benchmarks.maxim_plans import qat_steps  # noqa: E402 - needs the path above
from benchmarks.section import write_page  # noqa: E402 - needs the path above

if __name__ == "__main__":
    if "--json" not in sys.argv:
        sys.argv += ["--json", "docs/results/bench.json"]
    main()
    qat_steps().save()
    write_page()

"""Facts about a run folder: the digests of its results, and whether they are intact."""

from __future__ import annotations

from pathlib import Path

from nibblefit.workspace import damage, open_run


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every finished step's value."""
    run = open_run(folder)
    return {step: run.manifest(step).digest for step in run.steps}


#: How long an epoch took, and when a step ended.
TIMED = frozenset({"seconds.csv", "status.json"})


def vendor_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of every finished step but those that hold durations."""
    run = open_run(folder)
    return {
        f"{step}/{name}": sha
        for step in run.steps
        for name, sha in run.manifest(step).files.items()
        if name not in TIMED
    }


def assert_intact(folder: Path, steps: tuple[str, ...] = ()) -> None:
    """Check that every finished step can be loaded, and that `steps` are among them."""
    run = open_run(folder)
    missing = set(steps) - set(run.steps)
    assert not missing, f"lost: {missing}"
    for step in run.steps:
        assert damage(run.manifest(step), run.folder(step)) == []
        assert run.value(step) is not None

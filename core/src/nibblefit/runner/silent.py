"""The reporter of runs started from Python without one: shows nothing."""

from __future__ import annotations


class SilentBar:
    """A progress bar nobody sees."""

    def advance(self, amount: int = 1, **figures: float) -> None:
        """Do nothing."""

    def __enter__(self) -> SilentBar:
        return self

    def __exit__(self, *exc: object) -> None:
        return None


class SilentReporter:
    """Shows nothing; warnings still reach the run's journal."""

    def say(self, message: str) -> None:
        """Do nothing."""

    def warn(self, message: str) -> None:
        """Do nothing."""

    def progress(self, label: str, total: int | None) -> SilentBar:  # noqa: ARG002
        """Return a bar nobody sees."""
        return SilentBar()

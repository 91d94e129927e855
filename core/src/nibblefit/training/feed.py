"""How a training tells the user about its progress, from whichever process it runs in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

from nibblefit.run import ProgressBar, Reporter

#: Seconds between two movements of the bar: reading the loss stops the GPU for a moment.
INTERVAL = 0.1


class Feed(Protocol):
    """Receives progress."""

    def advance(self, steps: int, figures: Mapping[str, float]) -> None:
        """Report finished optimizer steps and the latest figures."""

    def say(self, message: str) -> None:
        """Show one line."""

    def warn(self, message: str) -> None:
        """Show one line that asks for attention."""


class Silence:
    """Feed of the processes that have nothing of their own to tell."""

    def advance(self, steps: int, figures: Mapping[str, float]) -> None:
        """Do nothing."""

    def say(self, message: str) -> None:
        """Do nothing."""

    def warn(self, message: str) -> None:
        """Do nothing."""


class ReporterFeed:
    """Feed into the run's reporter and one progress bar."""

    def __init__(self, reporter: Reporter, bar: ProgressBar) -> None:
        self._bar = bar
        self.say = reporter.say
        self.warn = reporter.warn

    def advance(self, steps: int, figures: Mapping[str, float]) -> None:
        """Move the bar."""
        self._bar.advance(steps, **figures)


class QueueFeed:
    """Feed into a queue that another process empties with `forward`."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def advance(self, steps: int, figures: Mapping[str, float]) -> None:
        """Send it."""
        self._queue.put(("advance", steps, dict(figures)))

    def say(self, message: str) -> None:
        """Send it."""
        self._queue.put(("say", message))

    def warn(self, message: str) -> None:
        """Send it."""
        self._queue.put(("warn", message))


def forward(message: tuple[Any, ...], feed: Feed) -> None:
    """Do to `feed` what was done to a `QueueFeed`."""
    method, *arguments = message
    getattr(feed, method)(*arguments)


class Ticker:
    """Collects steps and passes them on a few times a second."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._steps = 0
        self._last = time.monotonic()

    def step(self) -> bool:
        """Count a step; return whether it is time to `flush`."""
        self._steps += 1
        return time.monotonic() - self._last >= INTERVAL

    def flush(self, figures: Mapping[str, float]) -> None:
        """Pass on what was collected."""
        self._feed.advance(self._steps, figures)
        self._steps, self._last = 0, time.monotonic()

"""Progress of a run on a terminal, and as plain lines where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nibblefit.cli.output import console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from nibblefit.run import ProgressBar

#: Reasons of the runner that are no news to the user.
FIRST_TIME = frozenset({"not run yet", "asked for"})
#: Figures whose values are shares of one.
_SHARES = ("top", "acc", "iou", "map", "sparsity")


class TerminalReporter:
    """A `nibblefit.run.Reporter` that writes to stderr; stdout stays free for results.

    Bars are drawn on a terminal only. Elsewhere each bar leaves one line when it ends, so that a
    log file says how far a run came and what it reached.
    """

    def __init__(self, out: Console | None = None, *, steps: Sequence[str] = ()) -> None:
        """Make a reporter.

        Args:
            out: Where to write; stderr without one.
            steps: Plain names of the plan's steps, in order; headings count along.
        """
        self._out = out if out is not None else console(stderr=True)
        self._steps = tuple(steps)

    def say(self, message: str) -> None:
        """Show one line."""
        self._print(message, "")

    def warn(self, message: str) -> None:
        """Show one line that asks for attention."""
        self._print(f"warning: {message}", "yellow")

    def step(self, name: str, reason: str) -> None:
        """Show that a step begins and why, or, with an empty reason, that it is reused."""
        number = self._number(name)
        if not reason:
            self._print(f"{number}{name}: reused (nothing changed)", "dim")
        elif reason in FIRST_TIME:
            self._print(f"{number}{name}", "bold")
        else:
            self._print(f"{number}{name}: run again because {reason}", "bold")

    def _number(self, name: str) -> str:
        """Return ``2/7`` and a space; rounds and candidates count as their plain step."""
        plain = name.partition("@")[0]
        if plain not in self._steps:
            return ""
        return f"{self._steps.index(plain) + 1}/{len(self._steps)} "

    def progress(self, label: str, total: int | None) -> ProgressBar:
        """Start a progress bar; use it as a context manager."""
        return Bar(self._out, label, total)

    def _print(self, message: str, style: str) -> None:
        from rich.text import Text

        self._out.print(Text(message, style=style), soft_wrap=not self._out.is_terminal)


class Bar:
    """One running bar with its latest figures."""

    def __init__(self, out: Console, label: str, total: int | None) -> None:
        self._out, self._label, self._total = out, label, total
        self._done = 0
        self._figures: dict[str, float] = {}
        self._progress: Progress | None = None

    def __enter__(self) -> Bar:
        if self._out.is_terminal:
            self._progress = _progress(self._out)
            self._progress.start()
            self._progress.add_task(self._label, total=self._total, figures="")
        return self

    def advance(self, amount: int = 1, **figures: float) -> None:
        """Move on, and show the latest figures (loss=…)."""
        self._done += amount
        self._figures |= figures
        if self._progress is not None:
            task = self._progress.task_ids[0]
            self._progress.update(task, advance=amount, figures=figures_text(self._figures))

    def __exit__(self, kind: object = None, *error: object) -> None:
        if self._progress is not None:
            self._progress.stop()
        elif kind is None:
            from rich.text import Text

            self._out.print(Text(self._closing_line()), soft_wrap=True)

    def _closing_line(self) -> str:
        of = f"/{self._total:,}" if self._total is not None else ""
        figures = figures_text(self._figures)
        return f"  {self._label}: {self._done:,}{of}" + (f"  {figures}" if figures else "")


def _progress(out: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("  {task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[figures]}", style="dim"), console=out,
    )  # fmt: skip


def figures_text(figures: Mapping[str, float]) -> str:
    """Return figures such as ``loss 0.123  val_top1 97.5 %``."""
    return "  ".join(f"{name} {_figure(name, value)}" for name, value in figures.items())


def _figure(name: str, value: float) -> str:
    word = name.lower().rsplit("_", 1)[-1]
    if word.startswith(_SHARES) and 0.0 <= value <= 1.0:
        return f"{100 * value:.1f} %"
    return f"{value:.4g}"

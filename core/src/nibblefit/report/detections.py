"""Test pictures with the boxes that are wanted and those that a network found when evaluated."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nibblefit.data.source import Split
from nibblefit.errors import InputError, MissingExtraError
from nibblefit.recipe import Recipe
from nibblefit.report.contents import Image
from nibblefit.results import DETECTIONS, Report

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from nibblefit.plugins import Manager

#: Boxes with less confidence are left out. TAO draws from the same on.
LEAST_SCORE = 0.3
#: Inches across a picture.
_WIDTH = 5.0
#: Height of a label, as a share of a picture's.
_TEXT = 0.04
_WANTED = "#ffffff"
#: Verdict → colour and words. The colours keep apart for those who see no red and green.
_FOUND = {
    1: ("#56e39f", "found, right"),
    0: ("#ff5d3b", "found, wrong"),
    -1: ("#c9b6ff", "found, marked difficult"),
}


def detection_images(
    recipe: Recipe, reports: Mapping[str, Report], manager: Callable[[], Manager]
) -> tuple[Image, ...]:
    """Return drawings of what the last network found, and the last float network before it.

    Args:
        recipe: The run's recipe.
        reports: Step → its evaluation, in the order of the run.
        manager: Returns the target, which decides the range of inputs, and plugins' data readers.

    Raises:
        NibblefitError: The data set cannot be read any more, or has changed.
        MissingExtraError: The extra ``report`` is not installed.
    """
    evaluated = [
        (step, report) for step, report in reports.items() if report.arrays.get(DETECTIONS)
    ]
    if not evaluated:
        return ()
    floats = [entry for entry in evaluated if entry[1].subject.endswith("model")]
    shown = dict([evaluated[-1], *floats[-1:]])

    from nibblefit.data.catalog import make_data

    plugins = manager()
    data = make_data(recipe, plugins.target.info.input_range, plugins.data_readers())
    most = max(len(report.arrays[DETECTIONS]) for report in shown.values())
    if len(data.split(Split.TEST)) < most:
        raise InputError("the data set has fewer test pictures than when it was evaluated",
                         hint="run again, then report")  # fmt: skip
    pictures, wanted = data.batch(Split.TEST, 0, most)
    return tuple(
        _image(step, report, pictures, wanted, data.class_names) for step, report in shown.items()
    )


def _image(step: str, report: Report, pictures: npt.NDArray[np.float32],
           wanted: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Image:  # fmt: skip
    found = report.arrays[DETECTIONS]
    note = (
        f"The first {len(found)} test pictures, as the {report.subject} of step {step} saw them. "
        f"Boxes found with a confidence of at least {LEAST_SCORE}; a right one has the class of a "
        "box to find and overlaps it by half or more. Dashed boxes without such a one were missed."
    )
    png = drawing(pictures[: len(found)], wanted, found, names)
    return Image(f"Detections of the {report.subject} ({step})", png, note)


def drawing(
    pictures: npt.NDArray[np.float32], wanted: Sequence[Mapping[str, Any]],
    found: Sequence[Sequence[Sequence[float]]], names: Sequence[str],
) -> bytes:  # fmt: skip
    """Return pictures in two columns, with a legend, as a PNG file.

    Args:
        pictures: (count, channels, height, width) in any range.
        wanted: Boxes of each.
        found: For each rows of left, top, right, bottom, label, score, verdict.
        names: Names of the classes.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("the report", "report") from error
    count, _, height, width = pictures.shape
    columns = min(2, count)
    rows = -(-count // columns)
    size = (_WIDTH * columns, _WIDTH * height / width * rows + 0.4)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in places:
        axes.set_axis_off()
    for axes, picture, target, boxes in zip(places, pictures, wanted, found):
        _show(axes, picture)
        for box in np.asarray(target["boxes"]).reshape(-1, 4):
            _box(axes, box.tolist(), _WANTED, dashed=True)
        # The surest on top.
        for row in reversed([row for row in boxes if row[5] >= LEAST_SCORE]):
            words = f"{names[int(row[4])]} {row[5]:.2f}"
            _box(axes, row[:4], _FOUND[int(row[6])][0], words)
    verdicts = {int(row[6]) for boxes in found for row in boxes if row[5] >= LEAST_SCORE}
    figure.legend(handles=_legend(verdicts), loc="outside lower center", ncols=4, fontsize=9,
                  facecolor="#707070", labelcolor="white", frameon=True)  # fmt: skip
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _legend(verdicts: set[int]) -> list[Artist]:
    """Return a line for boxes to find and for each verdict that is drawn."""
    from matplotlib.lines import Line2D

    lines: list[Artist] = [Line2D([], [], color=_WANTED, linestyle="--", label="to find")]
    drawn = [_FOUND[verdict] for verdict in _FOUND if verdict in verdicts]
    return lines + [Line2D([], [], color=color, linewidth=2, label=text) for color, text in drawn]


def _show(axes: Axes, picture: npt.NDArray[np.float32]) -> None:
    """Show a picture; its own range is stretched to that of a screen."""
    low, high = float(picture.min()), float(picture.max())
    shown = (picture - low) / max(high - low, 1e-9)
    is_color = len(shown) == 3
    axes.imshow(shown.transpose(1, 2, 0) if is_color else shown[0], cmap="gray", vmin=0, vmax=1)


def _box(
    axes: Axes, box: Sequence[float], color: str, words: str = "", *, dashed: bool = False
) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    left, top, right, bottom = (float(value) for value in box)
    line = 1.0 if dashed else 1.8
    # Pixel centres lie at whole numbers, edges of boxes between them. A dark rim shows the line on
    # pictures of any colour.
    axes.add_patch(
        Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor=color,
                  linewidth=line, linestyle="--" if dashed else "-",
                  path_effects=[withStroke(linewidth=line + 1.2, foreground="black")])
    )  # fmt: skip
    if words:
        # Within the box where there is no room above it; axes of pictures run down.
        is_low = top < _TEXT * axes.get_ylim()[0]
        axes.text(left, max(top, 0.0), words, color="black", fontsize=6.5, clip_on=True,
                  va="top" if is_low else "bottom",
                  bbox={"facecolor": color, "edgecolor": "none", "pad": 0.8})  # fmt: skip

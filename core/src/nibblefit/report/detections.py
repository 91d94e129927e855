"""Test pictures with the boxes that are wanted and those that the network finds."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nibblefit.data.source import Split
from nibblefit.errors import MissingExtraError
from nibblefit.models import Model
from nibblefit.recipe import Recipe
from nibblefit.report.contents import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nibblefit.plugins import Manager

#: Pictures on the page, from the beginning of the test split.
PICTURES = 4
#: Boxes with less confidence are left out.
LEAST_SCORE = 0.5
_WIDTH = 4.0
_WANTED, _FOUND = "#2ca02c", "#d62728"


def detection_images(
    recipe: Recipe, step: str, model: Model, manager: Callable[[], Manager]
) -> tuple[Image, ...]:
    """Return a drawing of what a float network finds; none for other tasks.

    Args:
        recipe: The run's recipe.
        step: Step that made the network.
        model: The network.
        manager: Returns the target, which decides the range of inputs, and plugins' data readers.

    Raises:
        NibblefitError: The data set cannot be read any more.
        MissingExtraError: The extra ``report`` is not installed.
    """
    if recipe.task.kind != "detection":
        return ()
    import torch

    from nibblefit.data.catalog import make_data
    from nibblefit.nn.network import Network
    from nibblefit.tasks.catalog import make_task

    plugins = manager()
    data = make_data(recipe, plugins.target.info.input_range, plugins.data_readers())
    count = min(PICTURES, len(data.split(Split.TEST)))
    pictures, wanted = data.batch(Split.TEST, 0, count)
    task = make_task(recipe, data)
    with torch.no_grad():
        found = task.decode(Network(model.graph).eval()(torch.from_numpy(pictures)))
    note = (
        f"The first {count} test pictures. Green, dashed: boxes to find. Red: boxes found by the "
        f"float network of step {step} with a confidence of at least {LEAST_SCORE}."
    )
    png = drawing(pictures, wanted, found, data.class_names)
    return (Image(f"Detections ({step})", png, note),)


def drawing(
    pictures: npt.NDArray[np.float32], wanted: Sequence[Mapping[str, Any]], found: Sequence[Any],
    names: Sequence[str],
) -> bytes:  # fmt: skip
    """Return pictures side by side as a PNG file.

    Args:
        pictures: (count, channels, height, width) in any range.
        wanted: Boxes and labels of each.
        found: For each boxes, labels and scores.
        names: Names of the classes.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("the report", "report") from error
    count, _, height, width = pictures.shape
    columns = min(2, count)
    rows = -(-count // columns)
    size = (_WIDTH * columns, _WIDTH * height / width * rows)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in places:
        axes.set_axis_off()
    for axes, picture, target, (boxes, labels, scores) in zip(places, pictures, wanted, found):
        _show(axes, picture)
        for box in np.asarray(target["boxes"]).reshape(-1, 4):
            _box(axes, box.tolist(), _WANTED, dashed=True)
        for index in np.flatnonzero(np.asarray(scores) >= LEAST_SCORE).tolist():
            words = f"{names[int(labels[index])]} {float(scores[index]):.2f}"
            _box(axes, np.asarray(boxes[index]).tolist(), _FOUND, words)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


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

    left, top, right, bottom = (float(value) for value in box)
    # Pixel centres lie at whole numbers, edges of boxes between them.
    style = "--" if dashed else "-"
    axes.add_patch(
        Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor=color,
                  linewidth=1.2, linestyle=style)
    )  # fmt: skip
    if words:
        axes.text(left, top - 1.5, words, color=color, fontsize=6)

"""Line, bar and memory figures as inline SVG that follows the page's colours.

Matplotlib draws with placeholder colours, which become CSS variables afterwards: one figure serves
light and dark pages. Text stays text. Nothing in the result refers to another document.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nibblefit.errors import MissingExtraError
from nibblefit.report import wording
from nibblefit.report.contents import Banks, Grid, MemoryPicture, Timeline, Training

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Placeholder colour → CSS variable; the values are arbitrary but distinct.
PALETTE = {"ink": "#010203", "muted": "#010204", "grid": "#010205", "paper": "#010206",
                 "series-1": "#01020a", "series-2": "#01020b", "series-3": "#01020c",
                 "series-4": "#01020d", "bad": "#01020e"}  # fmt: skip
_SERIES = tuple(color for name, color in PALETTE.items() if name.startswith("series"))
#: Inches at 72 dots: the SVG's natural width is 460 CSS units, about a phone's.
_WIDTH, _HEIGHT = 460 / 72, 230 / 72
_UNUSED_IDS = "figure|axes|patch|line2d|text|matplotlib|xtick|ytick|legend|XMLID"
#: Characters of a layer's name under a figure; its end tells layers apart.
_LONGEST_TICK = 14
#: Steps of opacity between an empty memory and the fullest one.
_SHADES = 10


def training_figure(training: Training, names: Sequence[str], title: str) -> str:
    """Return curves of the named metrics over epochs."""
    figure, axes = new_figure()
    from matplotlib.ticker import MaxNLocator

    for color, name in zip(_SERIES, names, strict=False):
        factor = 100 if _in_percent(name) else 1
        points = [(i + 1, factor * epoch[name]) for i, epoch in enumerate(training.epochs)
                  if name in epoch]  # fmt: skip
        axes.plot(*zip(*points, strict=True), color=color, linewidth=1.8, label=name,
                  marker="o" if len(points) < 20 else "", markersize=3.5)  # fmt: skip
    axes.set_xlabel("epoch")
    if _in_percent(names[0]):
        axes.set_ylabel("%")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(names) > 1:
        axes.legend(frameon=False, labelcolor=PALETTE["ink"], fontsize=10)
    return svg_of(figure, title)


def _in_percent(name: str) -> bool:
    return wording.is_fraction(name) or wording.is_share(name)


def memory_figure(picture: MemoryPicture) -> str:
    """Return the drawing of one memory picture."""
    if isinstance(picture, Banks):
        return _banks(picture)
    return _timeline(picture) if isinstance(picture, Timeline) else _grid(picture)


def _banks(banks: Banks) -> str:
    figure, axes = new_figure()
    positions = range(len(banks.used))
    full = [used > room for used, room in zip(banks.used, banks.capacity, strict=True)]
    colors = [PALETTE["bad"] if over else _SERIES[0] for over in full]
    axes.bar(positions, banks.capacity, width=0.86, color=PALETTE["grid"])
    axes.bar(positions, banks.used, width=0.86, color=colors)
    axes.margins(x=0.01)
    axes.grid(visible=False, axis="x")
    step = banks.group or max(1, len(banks.used) // 8)
    axes.set_xticks(range(0, len(banks.used), step))
    axes.set_xlabel(banks.bank)
    axes.set_ylabel(banks.unit)
    return svg_of(figure, banks.title)


def _timeline(timeline: Timeline) -> str:
    figure, axes = new_figure()
    layers = list(dict.fromkeys(span.layer for span in timeline.spans))
    for is_output, color, label in ((False, _SERIES[0], "reads"), (True, _SERIES[1], "writes")):
        spans = [span for span in timeline.spans if span.is_output is is_output]
        shift = 0.2 if is_output else -0.2
        axes.bar(
            [layers.index(span.layer) + shift for span in spans],
            [span.stop - span.start for span in spans],
            bottom=[span.start for span in spans],
            width=0.4,
            color=color,
            edgecolor=color,  # an outline keeps spans visible that are thinner than a line
            linewidth=1.5,
            label=label,
        )
    axes.set_ylim(0, timeline.capacity)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel(timeline.unit)
    _name_layers(axes, layers)
    figure.legend(frameon=False, labelcolor=PALETTE["ink"], fontsize=10, ncols=2,
                  loc="outside upper right")  # fmt: skip
    return svg_of(figure, timeline.title)


def _grid(grid: Grid) -> str:
    """Draw one cell per layer and memory: the fuller of all, the more opaque."""
    figure, axes = new_figure()
    axes.grid(visible=False)
    peak = max(1, min(grid.capacity, max((max(row) for row in grid.used if row), default=0)))
    cells: dict[int, list[tuple[int, int]]] = {}
    for column, row in enumerate(grid.used):
        for bank, used in enumerate(row):
            level = math.ceil(_SHADES * min(used, peak) / peak) + (used > grid.capacity)
            cells.setdefault(level, []).append((column, bank))
    for level, places in cells.items():
        if level == 0:
            continue
        color = PALETTE["bad"] if level > _SHADES else _SERIES[0]
        columns, banks = zip(*places, strict=True)
        axes.bar(columns, 0.9, bottom=[bank - 0.45 for bank in banks], width=0.94, color=color,
                 alpha=min(level / _SHADES, 1.0))  # fmt: skip
    axes.set_xlim(-0.5, len(grid.layers) - 0.5)
    axes.set_ylim(len(grid.used[0]) - 0.5 if grid.used else 0.5, -0.5)
    axes.set_ylabel(grid.bank)
    _name_layers(axes, grid.layers)
    return svg_of(figure, grid.title)


def _name_layers(axes: Axes, layers: Sequence[str]) -> None:
    """Write layers' names under a figure, upright if there is no room."""
    crowded = len(layers) > 8 or any(len(layer) > 8 for layer in layers)
    names = [layer if len(layer) <= _LONGEST_TICK else f"…{layer[1 - _LONGEST_TICK :]}"
             for layer in layers]  # fmt: skip
    axes.set_xticks(range(len(layers)), names, rotation=90 if crowded else 0)


def new_figure(height: float = _HEIGHT) -> tuple[Figure, Axes]:
    """Return an empty figure in the page's style; its height in inches of 72 CSS units."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("the report", "report") from error
    figure = Figure(figsize=(_WIDTH, height), layout="constrained", dpi=72)
    axes = figure.subplots()
    figure.patch.set_alpha(0)
    dress(axes, PALETTE)
    return figure, axes


def dress(axes: Axes, palette: Mapping[str, str]) -> None:
    """Give axes the page's style: a grid behind, a line below, no ticks."""
    axes.patch.set_alpha(0)
    axes.set_axisbelow(True)
    axes.grid(visible=True, color=palette["grid"], linewidth=1)
    axes.tick_params(colors=palette["muted"], labelsize=10, length=0)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(palette["muted"])
        label.set_fontsize(10.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(palette["muted"])


def svg_of(figure: Figure, title: str) -> str:
    """Return the figure as an SVG element without declarations, namespaces or fixed fonts."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    label = f'role="img" aria-label="{_attribute(title)}"'
    text = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', lambda m: f"<svg {m[1]} {label}>", text,
                  count=1)  # fmt: skip
    text = re.sub(r"font-family: [^;\"]*;?", "", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    # Only clip paths and markers are referred to; matplotlib's other ids repeat between figures.
    text = re.sub(rf' id="(?:{_UNUSED_IDS})[^"]*"', "", text)
    for name, color in PALETTE.items():
        text = text.replace(color, f"var(--{name})")
    return re.sub(r"\n\s*", "\n", text)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


def histogram_path(counts: Sequence[int], *, width: int = 100, height: int = 32) -> str:
    """Return the outline of a histogram as SVG path data, filling a width × height box.

    Heights are square roots of counts: behind a rectifier most codes are zero, and the others would
    vanish beside them.
    """
    top = max(counts, default=0) or 1
    step = width / max(len(counts), 1)
    path = [f"M0 {height}"]
    for index, count in enumerate(counts):
        level = height * (1 - math.sqrt(count / top))
        path.append(f"V{level:.2f}H{(index + 1) * step:.2f}")
    return "".join([*path, f"V{height}Z"])

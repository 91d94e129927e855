"""A picture of the partition: DPU blue, CPU red, user black."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nibblefit.errors import InputError, MissingExtraError
from nibblefit.workspace.storage import explained
from nibblefit_vitis.inspection.inspection import Inspection
from nibblefit_vitis.inspection.layer import times
from nibblefit_vitis.inspection.placing import Placement, Where

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours of AMD's inspector.
COLORS: Mapping[Where, str] = MappingProxyType(
    {Where.DPU: "#1f5fbf", Where.CPU: "#c62828", Where.USER: "#000000"}
)
#: Ranks below each other before the next column starts.
_ROWS = 22
#: Of a box and of the space that it takes, in inches.
_WIDTH, _HEIGHT, _LANE, _RANK = 2.3, 0.42, 2.5, 0.62
_SHOWN = 42
#: Room at the right of a column for where its edges lead, in inches.
_LABELS = 1.0


@dataclass(frozen=True, slots=True)
class Box:
    """One box: a layer with all that joins it, or an input.

    Attributes:
        title, subtitle: Its two lines.
        where: Its colour.
        before: Boxes that it reads.
    """

    title: str
    subtitle: str
    where: Where
    before: tuple[str, ...]


def boxes(inspection: Inspection) -> dict[str, Box]:
    """Return the boxes of a picture by name, in order of execution."""
    pieces = inspection.piece_of()
    host = {one.layer.name: one.host or one.layer.name for one in inspection.placements}
    joined: dict[str, list[Placement]] = {}
    for one in inspection.placements:
        joined.setdefault(host[one.layer.name], []).append(one)
    maker = {name: host[one.layer.name]
             for one in inspection.placements for name in one.layer.outputs}  # fmt: skip
    found = {name: Box(name, f"input {times(shape)}", Where.USER, ())
             for name, shape in inspection.network.inputs.items()}  # fmt: skip
    for name, members in joined.items():
        reads = dict.fromkeys(maker.get(tensor, tensor) for one in members
                              for tensor in one.layer.inputs)  # fmt: skip
        words = " + ".join(one.layer.word for one in members)
        last = members[-1].layer
        subtitle = f"{words}  {times(last.shape)}  [{pieces.get(name, '')}]"
        key = name if name not in inspection.network.inputs else f"{name} "
        found[key] = Box(name, subtitle, members[0].where,
                         tuple(one for one in reads if one != name and one in {*host.values(),
                               *inspection.network.inputs}))  # fmt: skip
    return found


def positions(found: Mapping[str, Box]) -> dict[str, tuple[float, float]]:
    """Return where the boxes are, in inches: ranks downward, then column by column."""
    ranks = _ranks(found)
    lanes: dict[str, int] = {}
    rows: dict[int, list[str]] = {}
    for name, rank in ranks.items():
        rows.setdefault(rank, []).append(name)
    for rank in sorted(rows):
        rows[rank].sort(key=lambda name: _wanted_lane(found[name], lanes))
        lanes |= {name: place for place, name in enumerate(rows[rank])}
    starts: dict[int, float] = {}
    left = 0.0
    for column in range(max(ranks.values(), default=0) // _ROWS + 1):
        starts[column] = left
        widest = max(len(rows[rank]) for rank in rows if rank // _ROWS == column)
        left += widest * _LANE + _LABELS
    return {name: (starts[rank // _ROWS] + lanes[name] * _LANE, -(rank % _ROWS) * _RANK)
            for name, rank in ranks.items()}  # fmt: skip


def _ranks(found: Mapping[str, Box]) -> dict[str, int]:
    """Return the longest way to every box."""
    ranks: dict[str, int] = {}
    for name, box in found.items():
        ranks[name] = max((ranks[one] + 1 for one in box.before if one in ranks), default=0)
    return ranks


def _columns(found: Mapping[str, Box]) -> dict[str, int]:
    return {name: rank // _ROWS for name, rank in _ranks(found).items()}


def _wanted_lane(box: Box, lanes: Mapping[str, int]) -> float:
    known = [lanes[name] for name in box.before if name in lanes]
    return sum(known) / len(known) if known else 0.0


def draw(inspection: Inspection, path: Path) -> None:
    """Write the picture; the suffix chooses PNG or SVG.

    Raises:
        InputError: The suffix is another.
        WorkspaceError: The file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    if path.suffix not in (".png", ".svg"):
        raise InputError(f"{path} is no kind of picture", hint="use .png or .svg")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("a picture of the partition", "report") from error
    found = boxes(inspection)
    places = positions(found)
    right = max(x for x, _ in places.values()) + _LANE + _LABELS
    down = -min(y for _, y in places.values()) + _RANK
    figure = Figure(figsize=(max(right, 6.0) + 0.4, down + 1.2))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(-0.4, max(right, 6.0))
    axes.set_ylim(-down - 0.1, 1.1)
    columns = _columns(found)
    for name, box in found.items():
        far = [before for before in box.before if columns[before] != columns[name]]
        for before in (before for before in box.before if before not in far):
            _arrow(axes, places[before], places[name])
        if far:
            _label(axes, places[name], 0.07, f"from {', '.join(found[one].title for one in far)}")
        to = [one for one, other in found.items() if name in other.before
              and columns[one] != columns[name]]  # fmt: skip
        if to:
            below = -_HEIGHT - 0.1
            _label(axes, places[name], below, f"to {', '.join(found[one].title for one in to)}")
        _box(axes, places[name], box)
    _head(axes, inspection)
    with explained(f"write {path}"):
        figure.savefig(path, dpi=110)


def _head(axes: Axes, inspection: Inspection) -> None:
    axes.text(0.0, 0.95, f"{inspection.network.name} on {inspection.dpu.name}", fontsize=11,
              weight="bold", va="top")  # fmt: skip
    axes.text(0.0, 0.68, f"{inspection.headline}; [n] is the subgraph", fontsize=9, va="top")
    for place, (where, color) in enumerate(COLORS.items()):
        axes.text(place * 0.7, 0.44, where.value, color=color, fontsize=9, weight="bold", va="top")


def _box(axes: Axes, place: tuple[float, float], box: Box) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y = place
    axes.add_patch(FancyBboxPatch(
        (x, y - _HEIGHT), _WIDTH, _HEIGHT, boxstyle="round,pad=0.0,rounding_size=0.06",
        facecolor=COLORS[box.where], edgecolor="none", zorder=2))  # fmt: skip
    style: dict[str, Any] = {"ha": "center", "va": "center", "color": "white", "zorder": 3}
    axes.text(x + _WIDTH / 2, y - 0.14, _shortened(box.title), fontsize=7.5, weight="bold", **style)
    axes.text(x + _WIDTH / 2, y - 0.31, _shortened(box.subtitle), fontsize=6.0, **style)


def _label(axes: Axes, place: tuple[float, float], offset: float, text: str) -> None:
    """Write where an edge leads that would cross a column."""
    axes.text(place[0] + _WIDTH / 2 + 0.1, place[1] + offset, _shortened(text), fontsize=6.0,
              ha="left", va="center", color="#555555", style="italic")  # fmt: skip


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an edge; those that pass other boxes go round them, or end at a side."""
    from matplotlib.patches import FancyArrowPatch

    first = (start[0] + _WIDTH / 2, start[1] - _HEIGHT)
    last = (end[0] + _WIDTH / 2, end[1])
    passes = first[1] - last[1] > _RANK
    bend = "arc3,rad=0.0"
    if passes and start[0] != end[0]:
        side = end[0] + _WIDTH if start[0] > end[0] else end[0]
        last = (side, end[1] - _HEIGHT / 2)
    elif passes:
        first, last = (start[0], start[1] - _HEIGHT / 2), (end[0], end[1] - _HEIGHT / 2)
        bend = "arc3,rad=0.25"
    style: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 7, "linewidth": 0.8}
    axes.add_patch(
        FancyArrowPatch(first, last, connectionstyle=bend, zorder=1, color="#777777", **style)
    )


def _shortened(text: str) -> str:
    if len(text) <= _SHOWN:
        return text
    return f"{text[: _SHOWN // 2]}…{text[-(_SHOWN // 2 - 1) :]}"

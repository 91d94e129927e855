"""How a tensor of XIR relates to one of ours: the same elements, axes in another order."""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit.ir.graph import Shape


@dataclass(frozen=True, slots=True)
class View:
    """A tensor of ours as XIR has it.

    Attributes:
        tensor: Name of ours.
        shape: Ours, with batch axis.
        axes: Axis of ours along each axis of XIR's.
    """

    tensor: str
    shape: Shape
    axes: tuple[int, ...]

    @property
    def seen(self) -> Shape:
        """Shape in XIR."""
        return tuple(self.shape[axis] for axis in self.axes)

    def moved(self, order: tuple[int, ...]) -> View:
        """Return the view after XIR's ``transpose`` with an order."""
        return View(self.tensor, self.shape, tuple(self.axes[axis] for axis in order))

    @property
    def runs_straight(self) -> bool:
        """Whether elements lie in our order in memory."""
        long = [axis for axis in self.axes if self.shape[axis] != 1]
        return long == sorted(long)


def image_axes(rank: int) -> tuple[int, ...]:
    """Return the view that XIR's operators have of a rank: images are channels-last."""
    return (0, *range(2, rank), 1) if rank == 4 else tuple(range(rank))


def shape_from(seen: Shape) -> Shape:
    """Return the shape of ours behind XIR's usual view of it."""
    axes = image_axes(len(seen))
    return tuple(seen[axes.index(axis)] for axis in range(len(seen)))

"""Window geometry: how many positions a kernel has along each spatial axis, and where they lie.

Pads are (begin of every spatial axis, then end of every spatial axis). The same formulas serve
integer and float operators, shape inference and the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Sizes = Sequence[int]


@dataclass(frozen=True, slots=True)
class Window:
    """Geometry of a sliding window over one, two or three spatial axes.

    Attributes:
        kernel: Taps along each axis.
        strides: Distance between neighbouring windows.
        pads: Begins, then ends.
        dilations: Distance between neighbouring taps.
        ceil_mode: A last, partial window counts too if it starts inside the input or its begin
            padding (never in the end padding alone).
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    ceil_mode: bool = False

    @property
    def axes(self) -> int:
        """Number of spatial axes."""
        return len(self.kernel)

    def spans(self) -> tuple[int, ...]:
        """Return the samples from first to last tap along each axis: ``(k − 1)·dilation + 1``."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def begins(self) -> tuple[int, ...]:
        """Return the padding before each axis."""
        return self.pads[: self.axes]

    def ends(self) -> tuple[int, ...]:
        """Return the padding after each axis."""
        return self.pads[self.axes :]

    def output_sizes(self, sizes: Sizes) -> tuple[int, ...]:
        """Return the windows along each axis: ``(size + pads − span) / stride + 1``, floored.

        With `ceil_mode` the quotient is rounded up, less one where the last window would start
        beyond the input. Results below 1 mean that no window fits.
        """
        return tuple(
            _positions(size, begin, end, span, stride, ceil_mode=self.ceil_mode)
            for size, begin, end, span, stride in zip(
                sizes, self.begins(), self.ends(), self.spans(), self.strides, strict=True
            )
        )

    def reach(self, sizes: Sizes) -> tuple[int, ...]:
        """Return the end padding that the last window really touches, at least the declared one.

        Partial windows of `ceil_mode` reach beyond the declared padding.
        """
        counts = self.output_sizes(sizes)
        return tuple(
            max(end, (count - 1) * stride + span - size - begin)
            for size, begin, end, span, stride, count in zip(
                sizes, self.begins(), self.ends(), self.spans(), self.strides, counts, strict=True
            )
        )


def window(
    kernel: Sizes,
    strides: Sizes | None = None,
    pads: Sizes | None = None,
    dilations: Sizes | None = None,
    ceil_mode: bool = False,
) -> Window:
    """Return a window; missing strides and dilations are 1, missing pads 0."""
    axes = len(kernel)
    return Window(
        tuple(kernel),
        tuple(strides or (1,) * axes),
        tuple(pads or (0,) * (2 * axes)),
        tuple(dilations or (1,) * axes),
        ceil_mode,
    )


def _positions(size: int, begin: int, end: int, span: int, stride: int, *, ceil_mode: bool) -> int:
    room = size + begin + end - span
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + begin else count


def transposed_sizes(
    sizes: Sizes, kernel: Sizes, strides: Sizes, pads: Sizes, dilations: Sizes,
    *, output_padding: Sizes,
) -> tuple[int, ...]:  # fmt: skip
    """Return the output sizes of a transposed convolution.

    ``(size − 1)·stride − begin − end + (k − 1)·dilation + 1 + output_padding`` per axis.
    """
    axes = len(kernel)
    return tuple(
        (sizes[i] - 1) * strides[i] - pads[i] - pads[axes + i]
        + (kernel[i] - 1) * dilations[i] + 1 + output_padding[i]
        for i in range(axes)
    )  # fmt: skip

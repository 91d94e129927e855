"""Finding the weights that one thresholding step removes.

caffe-jacinto searches a threshold on a grid, per output channel. The largest threshold on that
grid removes exactly the smallest magnitudes up to the asked count, those below the cap, and never
one of several equal ones alone: which is found here by selection instead of search.

Source: tidsp/caffe-jacinto, branch caffe-0.17, src/caffe/net.cpp, FindAndApplyChannelThresholdNet
and FindAndApplyThresholdNet; comparisons in float32, as there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Kept = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits of a threshold.

    Attributes:
        value: Largest threshold.
        ratio: Largest threshold as a share of the largest magnitude (of channel or layer).
    """

    value: float = 0.2
    ratio: float = 0.2


def kept_weights(
    weights: npt.NDArray[np.floating[Any]], fraction: float, caps: Caps, scope: Literal["channel",
    "layer"] = "channel"
) -> Kept:  # fmt: skip
    """Return which weights one thresholding step keeps.

    Args:
        weights: Shape (out, …); zeros among them count towards the fraction.
        fraction: Largest share of zeros per channel (or layer) afterwards, 0 … 1.
        caps: Limits of the threshold; where they bind, fewer zeros result.
        scope: One threshold per output channel, or one for the layer.

    Returns:
        Same shape as `weights`; False where a weight becomes or already is zero.
    """
    flat = np.abs(weights.astype(np.float32))
    rows = flat.reshape(weights.shape[0] if scope == "channel" else 1, -1)
    count = _largest_count(rows.shape[1], fraction)
    below = rows < _caps_of(rows, caps)[:, None]
    if count < rows.shape[1]:
        # The smallest magnitude that must stay: everything strictly below it may go.
        first_kept = np.partition(rows, count, axis=1)[:, count]
        below &= rows < first_kept[:, None]
    kept: Kept = ~below & (rows != 0)
    return kept.reshape(weights.shape)


def _caps_of(magnitudes: Floats, caps: Caps) -> Floats:
    largest = magnitudes.max(axis=1)
    limit = np.minimum(np.float32(caps.value), largest * np.float32(caps.ratio))
    bound: Floats = np.minimum(limit, largest)
    return bound


def _largest_count(size: int, fraction: float) -> int:
    """Return the largest count whose share of `size` is, in float32, not above the fraction."""
    asked, total = np.float32(fraction), np.float32(size)
    guess = int(np.floor(float(asked) * size))
    fitting = [
        count
        for count in range(max(0, guess - 1), min(size, guess + 2) + 1)
        if np.float32(count) / total <= asked
    ]
    return max(fitting, default=0)

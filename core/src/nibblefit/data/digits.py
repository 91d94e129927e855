"""The handwritten digits that come with scikit-learn: 1,797 gray images of 8 × 8 pixels."""

from __future__ import annotations

import numpy as np

from nibblefit.data.material import Material
from nibblefit.errors import MissingExtraError

#: Pixels count the black dots of a 4 × 4 block, so they run from 0 to 16.
#: Source: UCI "Optical Recognition of Handwritten Digits", optdigits.names.
FULL_SCALE = 16.0


def read_digits() -> Material:
    """Return the data set; raises MissingExtraError without scikit-learn."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtraError("data source 'digits'", "train") from error
    bunch = load_digits()
    return Material(
        inputs=bunch.images.astype(np.uint8)[:, None],
        targets=bunch.target.astype(np.int64),
        lowest=0.0,
        full=FULL_SCALE,
        class_names=tuple(str(name) for name in bunch.target_names),
    )

"""The sample input beside a network description: where it lies and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nibblefit.errors import InputError
from nibblefit.fixed.formats import IntArray
from nibblefit_maxim.reading.problems import Problems


def beside(yaml_path: Path, dataset: str) -> Path | None:
    """Return the sample that the compiler would take, if it lies beside the YAML."""
    path = yaml_path.parent / f"sample_{dataset.lower()}.npy"
    return path if dataset and path.is_file() else None


def load_sample(path: Path, problems: Problems) -> IntArray | None:
    """Return a sample's codes, (channels, *spatial); None if it has no usable shape.

    Raises:
        InputError: The file is missing or no numpy array.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(f"sample {path} cannot be read", hint="give the path of a .npy") from error
    except ValueError as error:
        raise InputError(
            f"{path.name} is no numpy array of numbers", hint="save it with numpy.save"
        ) from error
    if not isinstance(values, np.ndarray) or values.ndim not in (2, 3) or 0 in values.shape:
        shape = getattr(values, "shape", "several arrays")
        problems.add(0, "sample", f"{path.name} has shape {shape}; expected C,H,W or C,L")
        return None
    if values.dtype != np.int64:
        problems.add(0, "sample", f"{path.name} holds {values.dtype}; expected int64")
        if not np.issubdtype(values.dtype, np.integer):
            return np.zeros(values.shape, np.int64)
    if values.min() < -128 or values.max() > 127:
        problems.add(
            0, "sample", f"{path.name} has values {values.min()} to {values.max()}; expected "
            "−128 to 127",
        )  # fmt: skip
    return values.astype(np.int64)

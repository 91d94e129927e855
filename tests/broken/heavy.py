"""A toy target whose module imports torch, as no target's may."""

import torch  # noqa: F401 - the fault under test
from nibblefit_toychip import ToyChip


class Heavy(ToyChip):
    """Correct, but slow to load."""

"""nibblefit target for the MAX78000 and MAX78002."""

from __future__ import annotations

from nibblefit_maxim.target import TARGET

__all__ = ["TARGET"]

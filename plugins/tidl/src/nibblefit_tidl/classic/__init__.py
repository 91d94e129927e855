"""Target `tidl-classic`: EVE vector cores and C66x DSPs, with shifts chosen frame by frame."""

from __future__ import annotations

"""uint8 in, integers out: where mean and scale of images go."""

from __future__ import annotations

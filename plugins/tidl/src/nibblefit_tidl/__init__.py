"""nibblefit targets for TI's deep-learning library, both generations."""

from __future__ import annotations

"""Files for the vendor's tools: what a compile step writes and how it is read back."""

from __future__ import annotations

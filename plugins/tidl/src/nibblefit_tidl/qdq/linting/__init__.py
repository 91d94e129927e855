"""Finds what TI's tools will not take, or take badly, in QDQ models made by others."""

from __future__ import annotations

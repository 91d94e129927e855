"""The trainable network, and what is said about a network before it is trained."""

from __future__ import annotations

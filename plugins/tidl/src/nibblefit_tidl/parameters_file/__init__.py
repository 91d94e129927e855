"""TI's quantization-parameter file: ranges of every layer as protobuf text."""

from __future__ import annotations

"""Per-tensor scales as TAO's exporter of quantized networks writes them: ranges in a JSON file."""

from __future__ import annotations

import json
from pathlib import Path

from nibblefit.errors import InputError

KEY = "tensor_scales"


def scales_text(ranges: dict[str, float]) -> str:
    """Return the file of largest magnitudes."""
    return json.dumps({KEY: ranges}, indent=1) + "\n"


def read_scales(path: Path) -> dict[str, float]:
    """Return the largest magnitude of every tensor of such a file.

    Raises:
        InputError: It is no such file.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}",
                         hint="check the path") from None  # fmt: skip
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}", hint="copy it again") from None
    ranges = found.get(KEY) if isinstance(found, dict) else None
    if not isinstance(ranges, dict) or not ranges:
        raise InputError(f"{path} holds no ranges of tensors",
                         hint=f'expected {{"{KEY}": {{"tensor": 6.0, ...}}}}')  # fmt: skip
    for name, largest in ranges.items():
        if isinstance(largest, bool) or not isinstance(largest, int | float):
            raise InputError(f"{path}: the range of {name[:60]!r} is {str(largest)[:40]}",
                             hint="ranges are numbers, the largest magnitudes")  # fmt: skip
    return {name: float(largest) for name, largest in ranges.items()}

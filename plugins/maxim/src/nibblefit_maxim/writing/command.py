"""The command line for the vendor's network compiler, and the names of the files it takes.

Options: ai8x-synthesis commit ab4f4c0, `izer/commandline.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nibblefit_maxim.layers import IntegerLayer
from nibblefit_maxim.memory.plan import MemoryPlan

#: The folder's files, by role.
YAML_NAME = "network.yaml"
CHECKPOINT_NAME = "checkpoint-q.pth.tar"
README_NAME = "README.md"


def sample_name(dataset: str) -> str:
    """Return the sample's file name, as the compiler looks for it."""
    return f"sample_{dataset.lower()}.npy"


def arithmetic_flags(items: Sequence[IntegerLayer]) -> tuple[str, ...]:
    """Return options that the arithmetic of the layers asks for."""
    pools = (item.layer.pool for item in items)
    rounded = any(pool is not None and pool.is_rounded for pool in pools)
    return ("--avg-pool-rounding",) if rounded else ()


def host_flags(host: Mapping[str, Any], items: Sequence[IntegerLayer]) -> tuple[str, ...]:
    """Return options for what the host computes: the vendor's softmax reads 32-bit values."""
    nodes = host.get("nodes", ())
    asks = any(str(node[1]) == "softmax" for node in nodes)
    return ("--softmax",) if asks and items[-1].layer.wide else ()


def command_words(
    plan: MemoryPlan, arch: str, dataset: str, *, folder: str, flags: Sequence[str] = ()
) -> list[tuple[str, ...]]:
    """Return the command, one option with its value per item.

    Args:
        plan: The memory plan; what it asks of the compiler is added.
        arch: Name of the network.
        dataset: Name of the data set.
        folder: Where the files lie, as the command should name it.
        flags: Further options.
    """
    device = plan.part.device
    return [
        ("python", "ai8xize.py"),
        ("--test-dir", f"sdk/Examples/{device}/CNN"),
        ("--prefix", arch),
        ("--device", device),
        ("--config-file", f"{folder}/{YAML_NAME}"),
        ("--checkpoint-file", f"{folder}/{CHECKPOINT_NAME}"),
        ("--sample-input", f"{folder}/{sample_name(dataset)}"),
        ("--timer", "0"),
        ("--display-checkpoint",),
        ("--compact-data",),
        ("--verbose",),
        ("--overwrite",),
        *((flag,) for flag in (*plan.flags, *flags)),
    ]


def command_line(
    plan: MemoryPlan, arch: str, dataset: str, *, folder: str, flags: Sequence[str] = ()
) -> str:
    """Return the command in one line; it must be run from the compiler's own folder."""
    words = command_words(plan, arch, dataset, folder=folder, flags=flags)
    return " ".join(" ".join(word) for word in words)

"""Rules on inference modes and numbers of cores, the same in every configuration.

Source: TI's importer of 2025, validation of inferenceMode and numCores.
"""

from __future__ import annotations

from nibblefit_tidl.configuration.problems import Remark
from nibblefit_tidl.devices import Device


def core_remarks(mode: int, cores: int, device: Device | None, *, mode_key: str,
                 cores_key: str) -> list[Remark]:  # fmt: skip
    """Return what is wrong with mode 0 (one core), 1 (throughput) or 2 (latency).

    Args:
        mode: Inference mode.
        cores: Cores asked for.
        device: Where; None checks what holds everywhere.
        mode_key: The mode's key in the configuration at hand.
        cores_key: The number's key.
    """
    found = []
    if mode == 2 and cores < 2:
        found.append(Remark(mode_key, f"{mode_key} 2 spreads one frame over cores, and {cores_key} "
                            f"is {cores}", f"set {cores_key} to 2 or more"))  # fmt: skip
    if mode == 0 and cores != 1:
        found.append(Remark(cores_key, f"{mode_key} 0 uses exactly one core, and {cores_key} is "
                            f"{cores}", f"set {cores_key} = 1, or {mode_key} 1 or 2"))  # fmt: skip
    if device is not None and cores > device.cores:
        have = f"{device.cores} core" + ("s" if device.cores > 1 else "")
        found.append(Remark(cores_key, f"{cores_key} is {cores}, and {device.name} has {have}",
                            f"set {cores_key} to at most {device.cores}"))  # fmt: skip
    return found

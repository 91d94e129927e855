"""How TAO names the log of a training: ``<ssd|dssd>_training_log_<arch><nlayers>.csv``."""

from __future__ import annotations

import re

#: Name where TAO's needs a network that this one is not.
LOG_FILE = "training_log.csv"
#: Backbones that TAO tells apart by their number of layers.
_DETECTOR = re.compile(r"(d?ssd)_?(cspdarknet|darknet|resnet|vgg)_?(\d+)", re.IGNORECASE)


def log_file(network: str) -> str:
    """Return the file name for a network, such as ``ssd_training_log_resnet18.csv``.

    Args:
        network: Its name, such as ``SsdResNet18``: kind, backbone and layers.
    """
    found = _DETECTOR.fullmatch(network)
    if found is None:
        return LOG_FILE
    kind, backbone, layers = found.groups()
    return f"{kind.lower()}_training_log_{backbone.lower()}{layers}.csv"

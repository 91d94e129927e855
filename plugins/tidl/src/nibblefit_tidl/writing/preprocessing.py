"""How the script in the folder turns pictures into the network's input."""

from __future__ import annotations

import json

from nibblefit.data.scaling import UINT8_FULL_SCALE, Scaling
from nibblefit.run import Run
from nibblefit_tidl.front.preprocessing import preprocessing_of


def pixels_text(run: Run, channels: int) -> str | None:
    """Return mean and scale from pixels (0 to 255) to the input as JSON.

    None where the data are no 8-bit pictures (the handwritten digits have 17 shades, a Python
    source scales for itself): then nothing says what a pixel of a picture file would be worth.
    """
    scaling = getattr(run.data, "scaling", None)
    if not isinstance(scaling, Scaling):
        return None
    if (scaling.lowest, scaling.full) != (0.0, UINT8_FULL_SCALE):
        return None
    found = preprocessing_of(scaling, channels)
    return json.dumps({"mean": found.mean, "scale": found.scale}, indent=1) + "\n"

"""Quantization-aware training with trained thresholds (TQT).

A phase ``qat`` trains `network.QatNetwork`, started from `keeping.thresholds_of` a model or from
calibrated formats, with `schedule.QatSchedule` as training part; afterwards
`keeping.with_thresholds` leaves what was learned with the model. The quantizer takes
`keeping.formats_of` such a model for the graph `places.folded_graph` returns, and
`simulation.simulation_of` is what training computed, as integers.
"""

from __future__ import annotations

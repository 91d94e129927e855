"""Names of training phases and of what a model keeps between them."""

from __future__ import annotations

#: Phase of models whose batch norm is folded and whose thresholds are known.
QAT_PHASE = "qat"
#: Phase of a training that begins in float and switches on its way (``target.start_epoch``).
SWITCHING_PHASE = "switching"
#: Phase in which the fewest bits per layer are searched.
SEARCH_PHASE = "search"
#: Key of this target's facts in `Model.extra`, and the facts.
EXTRA = "maxim"
LAYERS, THRESHOLDS, BITS = "layers", "thresholds", "bits"

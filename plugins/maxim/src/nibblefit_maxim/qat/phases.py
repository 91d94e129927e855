"""Names of training phases and of what a model keeps between them."""

from __future__ import annotations

#: Phase of models whose batch norm is folded and whose thresholds are known.
QAT_PHASE = "qat"
#: Key of this target's facts in `Model.extra`.
EXTRA = "maxim"

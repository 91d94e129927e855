"""How channels pass through each operator; one module for each family."""

from __future__ import annotations

from collections.abc import Mapping

from nibblefit.ir.ops import Op
from nibblefit.pruning.rules.elementwise import RULES as ELEMENTWISE_RULES
from nibblefit.pruning.rules.joining import RULES as JOINING_RULES
from nibblefit.pruning.rules.shaping import RULES as SHAPING_RULES
from nibblefit.pruning.rules.weighted import RULES as WEIGHTED_RULES
from nibblefit.pruning.trace import Rule

RULES: Mapping[Op, Rule] = {
    **WEIGHTED_RULES,
    **ELEMENTWISE_RULES,
    **JOINING_RULES,
    **SHAPING_RULES,
}

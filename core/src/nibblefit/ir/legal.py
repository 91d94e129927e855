"""The legality check: named rules that every graph must keep.

A graph that passes executes without surprises: every tensor is declared, every shape follows from
its inputs, every constant is a legal code, and every accumulator is proven wide enough.
"""

from __future__ import annotations

from nibblefit.errors import GraphError
from nibblefit.ir import quantized_rules, structure_rules
from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.ir.rule import Rule, Violation, violations_of

#: Rules of the float graph.
GRAPH_RULES: tuple[Rule, ...] = structure_rules.RULES
#: Rules of the quantized graph.
QUANTIZED_RULES: tuple[Rule, ...] = (*structure_rules.RULES, *quantized_rules.RULES)
#: All rules by id.
RULES: dict[str, Rule] = {rule.id: rule for rule in QUANTIZED_RULES}


def violations(graph: Graph | QuantizedGraph) -> list[Violation]:
    """Return every broken rule of a float or quantized graph; empty if it is legal."""
    rules = QUANTIZED_RULES if isinstance(graph, QuantizedGraph) else GRAPH_RULES
    return violations_of(rules, graph)


def check_graph(graph: Graph) -> None:
    """Raise GraphError with all violations unless the float graph is legal."""
    _check(graph)


def check_quantized(graph: QuantizedGraph) -> None:
    """Raise GraphError with all violations unless the quantized graph is legal."""
    _check(graph)


def _check(graph: Graph | QuantizedGraph) -> None:
    found = violations(graph)
    if found:
        lines = "".join(f"\n  • {violation}" for violation in found)
        count = "a rule" if len(found) == 1 else f"{len(found)} rules or places"
        raise GraphError(f"graph '{graph.name}' breaks {count}{lines}")

"""Which layers the tools of the current generation give to the accelerator, as subgraphs.

The runtime's provider cuts the network at layers that the accelerator lacks; each stretch between
them is one subgraph. The stretches here follow the order of execution; parallel branches may be
joined differently by the tools.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from nibblefit.quantization.support import Verdict
from nibblefit.results import Finding, Status, Table
from nibblefit_tidl.tables.judging import Judgement

#: Subgraphs that the provider offloads at most; further ones stay on the Arm core. Source:
#: edgeai-tidl-tools 11_00_06_00, max_num_subgraphs.
MOST_SUBGRAPHS = 16


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring layers on the same core.

    Attributes:
        number: 1, 2, … for subgraphs; 0 on the Arm core.
        layers: Names of the network's layers in it.
    """

    number: int
    layers: tuple[str, ...]

    @property
    def core(self) -> str:
        """Where it runs."""
        return f"C7x-MMA, subgraph {self.number}" if self.number else "Arm"


def stretches(judgements: Sequence[Judgement]) -> tuple[Stretch, ...]:
    """Return the predicted partition; layers that join others go where those go."""
    running = [one for one in judgements if one.verdict is not Verdict.FOLDED]
    found: list[Stretch] = []
    number = 0
    for accelerated, group in groupby(running, key=lambda one: one.is_accelerated):
        number += accelerated
        found.append(Stretch(number if accelerated else 0, tuple(one.node.name for one in group)))
    return tuple(found)


def partition_table(found: Sequence[Stretch]) -> Table:
    """Return the partition as a table."""
    rows = tuple((s.core, len(s.layers), s.layers[0], s.layers[-1]) for s in found)
    return Table("Predicted partition", ("core", "layers", "first", "last"), rows)


def partition_finding(found: Sequence[Stretch]) -> Finding:
    """Return in one line how many pieces the network falls into."""
    subgraphs = [s for s in found if s.number]
    if len(subgraphs) == len(found) == 1:
        return Finding("tidl.partition", Status.PASSED, "one subgraph holds the whole network")
    left = [name for s in found if not s.number for name in s.layers]
    status = Status.WARNING
    message = f"{len(subgraphs)} subgraphs; on the Arm core: {', '.join(left) or 'nothing'}"
    if len(subgraphs) > MOST_SUBGRAPHS:
        message += f"; at most {MOST_SUBGRAPHS} are offloaded"
    return Finding("tidl.partition", status, message,
                   hint="replace the layers on the Arm core, or move them to the end")  # fmt: skip

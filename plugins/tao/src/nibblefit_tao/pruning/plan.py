"""A pruning as a small JSON file: which filters of which layers stay.

With it a pruned network is made again from the unpruned one, or weights of a pruned network are
loaded, without pickled classes: the plan and a state dict are all there is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph
from nibblefit.pruning.coupling import Coupling, couple
from nibblefit.pruning.cutting import Cut, cut, cut_of
from nibblefit.workspace.storage import write_file

Index = Annotated[int, Field(ge=0, lt=2**31)]


def _rising(kept: list[int]) -> list[int]:
    if not kept or kept != sorted(set(kept)):
        raise ValueError("kept filters are at least one, ascending, each once")
    return kept


Kept = Annotated[list[Index], AfterValidator(_rising)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    format: Literal["nibblefit pruning plan"] = "nibblefit pruning plan"
    version: Literal[1] = 1
    network: str
    threshold: Annotated[float, Field(ge=0)]
    layers: dict[str, Kept]


@dataclass(frozen=True, slots=True)
class PruningPlan:
    """What a pruning keeps.

    Attributes:
        network: Name of the network.
        threshold: At which it was pruned.
        layers: Filters that stay, ascending, by layer; layers not named keep all filters.
    """

    network: str
    threshold: float
    layers: Mapping[str, tuple[int, ...]]

    def cut(self, coupling: Coupling) -> Cut:
        """Return the cut of an unpruned network.

        Raises:
            InputError: The plan is for another network; names the layer.
        """
        return cut_of(coupling, self.layers)

    def apply(self, graph: Graph) -> Graph:
        """Return the pruned graph of an unpruned one."""
        return cut(self.cut(couple(graph)))

    def text(self) -> str:
        """Return the file's text."""
        layers = {name: list(kept) for name, kept in self.layers.items()}
        file = _File(network=self.network, threshold=self.threshold, layers=layers)
        head = json.dumps(file.model_dump(exclude={"layers"}), indent=1).removesuffix("\n}")
        # One line a layer: short enough to be read, and to be compared by version control.
        rows = [f"  {json.dumps(name)}: {json.dumps(kept)}" for name, kept in layers.items()]
        body = "{\n" + ",\n".join(rows) + "\n }" if rows else "{}"
        return f'{head},\n "layers": {body}\n}}\n'


def plan_of(what: Cut, threshold: float) -> PruningPlan:
    """Return the plan of a cut."""
    layers = {name: tuple(kept.tolist()) for name, kept in what.layers().items()}
    return PruningPlan(what.coupling.graph.name, threshold, layers)


def write_plan(plan: PruningPlan, path: Path) -> None:
    """Write a plan."""
    write_file(path, plan.text().encode())


def read_plan(path: Path) -> PruningPlan:
    """Read a plan.

    Raises:
        InputError: The file is none.
    """
    try:
        file = _File.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read the pruning plan {path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part)[:40] for part in first["loc"])
        raise InputError(f"{path} is no pruning plan: {where or 'the file'}: {first['msg']}",
                         hint="a run's prune step writes plan.json") from None  # fmt: skip
    return PruningPlan(file.network, file.threshold,
                       {name: tuple(kept) for name, kept in file.layers.items()})  # fmt: skip

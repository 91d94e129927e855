"""The shape of the table files: rows of operators with limits; checked when a file is read."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: Releases of the current tools that the tables tell apart. ``newer`` is the table published after
#: 11.0 (ONNX Runtime 1.23, opset 21).
Release = Literal["8.x", "9.x", "11.0", "newer"]
RELEASES: tuple[Release, ...] = ("8.x", "9.x", "11.0", "newer")


class Severity(StrEnum):
    """What a limit means for a layer that breaks it."""

    REFUSED = "refused"  #: nibblefit refuses it
    HOST = "host"  #: the tools leave it to the Arm core
    WARNED = "warned"  #: it may work, but TI has not validated it
    NOTED = "noted"  #: it runs, in another way than it looks


class Limit(BaseModel):
    """One limit of an operator.

    Attributes:
        check: Name of a check of `nibblefit_tidl.tables.checks`; other keys are its settings.
        verdict: What follows where it is broken.
        reason: The rule, in words.
        rewrite: Name of one of TI's rewrites, if one helps.
        remedy: What to do, where no rewrite says it.
        devices: Devices that have the limit; empty means all.
        releases: Releases that have it; empty means all.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    check: str
    verdict: Severity
    reason: str
    rewrite: str = ""
    remedy: str = ""
    devices: tuple[str, ...] = ()
    releases: tuple[Release, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the check."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _says_what_to_do(self) -> Limit:
        if not (self.rewrite or self.remedy):
            raise ValueError(f"limit '{self.check}' has neither rewrite nor remedy")
        return self

    def holds_for(self, device: str, release: Release) -> bool:
        """Return whether a device has this limit in a release."""
        here = not self.devices or device in self.devices
        return here and (not self.releases or release in self.releases)


class Row(BaseModel):
    """Operators that one layer of the device runs.

    Attributes:
        names: Operators as ONNX (or Caffe) calls them.
        layer: What the device runs them as.
        graph: Operators of nibblefit's float graph; none if it has none.
        constraints: All limits in words, those included that a float graph cannot break.
        limits: The limits that are checked.
        outside: Why the float graph has none of these operators; the importer refuses them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: tuple[str, ...] = Field(min_length=1)
    layer: str
    graph: tuple[str, ...]
    constraints: str
    limits: tuple[Limit, ...] = ()
    outside: str = ""

    @model_validator(mode="after")
    def _says_why_it_is_outside(self) -> Row:
        if not self.graph and not self.outside:
            raise ValueError(f"row '{self.names[0]}' has no operator of the graph, and no reason")
        return self


class OperatorTable(BaseModel):
    """All rows of one generation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    source: str
    row: tuple[Row, ...]

    def rows_of(self, operator: str) -> tuple[Row, ...]:
        """Return the rows of an operator of the float graph; none if the generation lacks it."""
        return tuple(row for row in self.row if operator in row.graph)

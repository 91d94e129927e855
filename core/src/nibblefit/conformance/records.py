"""What a check is, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from nibblefit.conformance.bench import Bench


class Outcome(StrEnum):
    """How a check ended; only PASSED counts as passed."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"  #: does not apply to what the target declares; the message says why
    BLOCKED = "blocked"  #: a check it builds on failed
    KNOWN_GAP = "known gap"  #: failed, and the author listed it with a reason


class CheckFailure(Exception):  # noqa: N818 - it is the verdict of a check, not an error of the kit
    """Raised by a check to fail, with the sentence that says what was found."""


class CheckSkip(Exception):  # noqa: N818 - a verdict as well
    """Raised by a check that does not apply, with the reason."""


Body: TypeAlias = Callable[["Bench"], None]


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of the contract.

    Attributes:
        id: ``family.subject``, stable across releases.
        why: One sentence: why strangers rely on it.
        how: One sentence: how to comply.
        body: Raises `CheckFailure` or `CheckSkip`.
        needs: Checks it builds on; when one of them fails, this one is blocked, not failed.
        since: Hook contract version it came with.
    """

    id: str
    why: str
    how: str
    body: Body
    needs: tuple[str, ...] = ()
    since: str = "1.0"


@dataclass(frozen=True, slots=True)
class Record:
    """Outcome of one check."""

    id: str
    status: Outcome
    message: str
    why: str
    how: str


REGISTRY: dict[str, Check] = {}


def check(id: str, *, why: str, how: str, needs: tuple[str, ...] = (),  # noqa: A002
          since: str = "1.0") -> Callable[[Body], Body]:  # fmt: skip
    """Register a function as the check `id`; a second check of that name is refused."""

    def register(body: Body) -> Body:
        if id in REGISTRY:
            raise ValueError(f"check '{id}' is registered twice")
        REGISTRY[id] = Check(id, why, how, body, needs, since)
        return body

    return register

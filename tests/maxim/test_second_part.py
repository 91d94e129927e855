"""The MAX78002 keeps the same contract as the default part."""

from __future__ import annotations

import pytest

from nibblefit.conformance import target_checks
from nibblefit.conformance.bench import Bench
from nibblefit.errors import RecipeError


@target_checks("maxim", part="max78002")
def test_max78002_keeps_the_contract(check: object) -> None:
    """Every check of the conformance kit passes for the second part as well."""
    check()  # type: ignore[operator]


def test_unknown_part_is_refused_with_the_known_ones() -> None:
    """A misspelt part is one clear line."""
    with pytest.raises(RecipeError, match="no part 'max78001'") as error:
        Bench("maxim", "max78001")
    assert "max78002" in str(error.value)

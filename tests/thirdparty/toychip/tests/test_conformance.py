"""The whole test file of a third-party target."""

from nibblefit.conformance import target_checks


@target_checks("toychip")
def test_toychip(check):
    """Every promise of the contract holds."""
    check()

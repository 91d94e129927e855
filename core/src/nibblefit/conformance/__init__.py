"""The conformance kit: checks of a target, and random graphs to test executions with.

A third party's test file needs `target_checks` only. `strategies` (needs hypothesis) draws number
formats, codes, steps and whole legal graphs.
"""

from nibblefit.conformance.decorator import target_checks
from nibblefit.conformance.records import Check, CheckFailure, CheckSkip, Outcome, Record
from nibblefit.conformance.table import all_checks, run

__all__ = [
    "Check",
    "CheckFailure",
    "CheckSkip",
    "Outcome",
    "Record",
    "all_checks",
    "run",
    "target_checks",
]

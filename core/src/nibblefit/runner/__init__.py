"""The runner: walks a target's plan in a run folder."""

from nibblefit.runner.outcome import GateRecord, RunOutcome, SearchRecord, StepRecord
from nibblefit.runner.pipeline import make_manager, make_plan, make_setting, run
from nibblefit.runner.recipes import load_recipe
from nibblefit.runner.silent import SilentReporter
from nibblefit.runner.sources import RecipeSources, Sources

__all__ = [
    "GateRecord",
    "RecipeSources",
    "RunOutcome",
    "SearchRecord",
    "SilentReporter",
    "Sources",
    "StepRecord",
    "load_recipe",
    "make_manager",
    "make_plan",
    "make_setting",
    "run",
]

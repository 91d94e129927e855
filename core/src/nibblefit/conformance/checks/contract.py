"""Family ``contract``: the target can be found, loaded and understood."""

from __future__ import annotations

import subprocess
import sys

from nibblefit.conformance.bench import Bench
from nibblefit.conformance.records import CheckFailure, check
from nibblefit.errors import NibblefitError, PluginError


@check(
    "contract.light",
    why="listing and choosing targets must be quick, and the description readable without torch",
    how="import torch and onnx inside the hook methods that need them, not at module level",
)
def light(bench: Bench) -> None:
    """Load the target in a fresh interpreter and look for heavy modules."""
    code = (
        "import sys\n"
        f"sys.path[:0] = {[entry for entry in sys.path if entry]!r}\n"
        f"{_load_statement(bench)}\n"
        "print(*sorted({'torch', 'onnx', 'lightning', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode != 0:
        raise CheckFailure(f"loading it alone failed: {done.stderr.strip().splitlines()[-1:]}")
    if done.stdout.strip():
        raise CheckFailure(f"loading it imports {done.stdout.strip()}")


def _load_statement(bench: Bench) -> str:
    if bench.installed:
        return f"from nibblefit.plugins import load_target; load_target({bench.name!r}).info"
    return f"import {type(bench.target).__module__}"


@check(
    "contract.info",
    why="users choose targets by what they say about themselves",
    how="fill name, summary, api, numerics, options and manual of TargetInfo; the name equals the "
    "entry point's",
)
def info(bench: Bench) -> None:
    """The description is complete, has the right types, and fits this version."""
    from nibblefit.plugins import check_info

    try:
        check_info(bench.target, bench.name, bench.plugin.origin)
    except PluginError as error:
        raise CheckFailure(error.what) from error
    if not bench.info.manual.strip():
        raise CheckFailure("info.manual is empty")
    if len(bench.info.summary) > 100:
        raise CheckFailure(f"info.summary has {len(bench.info.summary)} characters, at most 100")


@check(
    "contract.hooks",
    why="a misspelt hook would silently never be called",
    how="name methods marked hookimpl exactly as in nibblefit.hooks",
)
def hooks(bench: Bench) -> None:
    """Every marked method is a hook, and every method named like a hook is marked."""
    from nibblefit.plugins import check_hooks

    try:
        check_hooks(bench.target, str(bench.plugin), may_own=True)
    except PluginError as error:
        raise CheckFailure(error.what) from error


@check(
    "contract.options",
    why="the recipe reference and its error messages are generated from the options",
    how="make options a frozen pydantic model with a default and a description for every field",
)
def options(bench: Bench) -> None:
    """Options are frozen, defaulted and described."""
    model = bench.info.options
    if not model.model_config.get("frozen"):
        raise CheckFailure("the options model is not frozen")
    for name, field in model.model_fields.items():
        if not field.description:
            raise CheckFailure(f"option '{name}' has no description")
        if field.is_required():
            raise CheckFailure(f"option '{name}' has no default")


@check(
    "contract.plan",
    why="the runner walks the plan; a broken one fails every run",
    how="use unique step names and refer only to steps of the plan",
    needs=("contract.info", "contract.hooks"),
)
def plan(bench: Bench) -> None:
    """The plan for a minimal recipe is well formed."""
    from nibblefit.runner.planning import check_plan

    try:
        check_plan(bench.hooks.plan(bench.recipe), str(bench.plugin))
    except NibblefitError as error:
        raise CheckFailure(error.what) from error

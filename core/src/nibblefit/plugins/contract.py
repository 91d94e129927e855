"""What each hook must return, checked on the raw result and again after every wrapper."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from nibblefit.errors import GraphError, PluginError
from nibblefit.hooks import hookimpl
from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.plan import Candidates, Gate, Repeat, Step
from nibblefit.plugins.discovery import Plugin
from nibblefit.results import Artifact, Report

#: Hook → type of its result. `network` and `simulate` return torch modules, which are known by
#: what they can do so that nothing here imports torch.
RESULTS: dict[str, type] = {
    "prepare": Model,
    "train": Model,
    "prune": Model,
    "quantize": QuantizedGraph,
    "compile": Artifact,
    "evaluate": Report,
    "plan": tuple,
    "inspect": Report,
    "read_back": QuantizedGraph,
}
#: Hooks that may answer with nothing.
MAY_BE_NONE = frozenset({"simulate"})
#: Hooks whose contract includes methods, with the missing one's remedy.
_METHODS = {"network": "to_graph"}


class Contract:
    """Innermost wrapper of every hook with one answer: sees what the owner itself returned."""

    def __init__(self, owner_of: Callable[[str], Plugin]) -> None:
        self._owner_of = owner_of
        for hook in (*RESULTS, *_METHODS):
            setattr(self, hook, self._wrapper(hook))

    def _wrapper(self, hook: str) -> Callable[[], Generator[None, Any, Any]]:
        @hookimpl(wrapper=True, trylast=True, specname=hook)
        def wrapper() -> Generator[None, Any, Any]:
            result = yield
            check_result(hook, result, str(self._owner_of(hook)), self._advice(hook))
            return result

        return wrapper

    def _advice(self, hook: str) -> str:
        method = getattr(self._owner_of(hook).value, hook, None)
        code = getattr(method, "__code__", None)
        where = f"{code.co_filename}:{code.co_firstlineno}" if code else hook
        return f"end {where} with a return statement"


def check_result(hook: str, result: object, owner: str, advice: str = "") -> None:
    """Refuse a result of the wrong type, and a graph that breaks a rule.

    Raises:
        PluginError: Nothing or the wrong type was returned.
        GraphError: The returned graph is not well-formed.
    """
    if result is None:
        if hook in MAY_BE_NONE:
            return
        raise PluginError(
            f"{hook} returned nothing\n  {owner} answers '{hook}', so nobody else steps in",
            hint=advice or f"return the result of {hook}",
        )
    wanted = RESULTS.get(hook)
    if wanted is not None and not isinstance(result, wanted):
        raise PluginError(
            f"{hook} of {owner} returned a {type(result).__name__}, expected a {wanted.__name__}"
        )
    method = _METHODS.get(hook)
    if method and not (callable(result) and callable(getattr(result, method, None))):
        raise PluginError(
            f"{hook} of {owner} returned a {type(result).__name__} without {method}()",
            hint="return a torch module with to_graph()",
        )
    if isinstance(result, tuple):
        _check_items(result, owner)
    _check_graph(hook, result, owner)


def _check_items(plan: tuple[object, ...], owner: str) -> None:
    for item in plan:
        if not isinstance(item, Step | Gate | Repeat | Candidates):
            raise PluginError(
                f"plan of {owner} holds a {type(item).__name__}; "
                "expected Step, Gate, Repeat or Candidates"
            )


def _check_graph(hook: str, result: object, owner: str) -> None:
    from nibblefit.ir.legal import check_graph, check_quantized

    try:
        if isinstance(result, Model):
            check_graph(result.graph)
        elif isinstance(result, Graph):
            check_graph(result)
        elif isinstance(result, QuantizedGraph):
            check_quantized(result)
    except GraphError as error:
        raise GraphError(f"{hook} of {owner}: {error.what}", hint=error.hint) from error

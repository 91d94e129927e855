"""Watch a forward pass: every torch function that touches an activation becomes nodes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from nibblefit.errors import GraphError
from nibblefit.ir.ops import Op
from nibblefit.nn.builder import GraphBuilder
from nibblefit.nn.capture.call import Call, Handler
from nibblefit.nn.capture.functions import function_name
from nibblefit.nn.capture.handlers import HANDLERS
from nibblefit.nn.capture.paths import ModulePath
from nibblefit.nn.capture.refusal import (
    KNOWN,
    RANDOM,
    READS_VALUES,
    VALUES_HINT,
    VALUES_REASON,
)
from nibblefit.nn.capture.shapes_only import MAKES_CONSTANT
from nibblefit.nn.capture.tensors import tensors_in
from nibblefit.nn.capture.weights import Weights
from nibblefit.nn.capture.widths import SAME_VALUES, Evaluate, in_full_width, narrows
from nibblefit.nn.integers import INTEGER_TYPES, ROUNDINGS, Word, followed, rounded
from nibblefit.nn.problems import Problem, Refused

#: Name of an activation that came out of a refused call; what follows is run but not recorded.
UNKNOWN = ""
STALE = "\0stale"
#: A tensor of whole numbers, see `nibblefit.nn.integers`; it has no name in the graph.
WORD = "\0word"

#: Questions about an activation that do not look at its values.
_METADATA = frozenset({
    "size", "dim", "numel", "nelement", "ndimension", "len", "stride", "is_floating_point",
    "is_complex", "is_contiguous", "get_device", "element_size", "hash", "repr", "format",
    "storage_offset", "is_inference", "is_signed", "is_same_size", "has_names", "dim_order",
    "data_ptr", "type",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tracked:
    """An activation: the tensor, held so that its identity stays unique, and its name."""

    tensor: Tensor
    name: str


class Recorder(TorchFunctionMode):
    """Records calls into a builder; collects every problem instead of stopping at the first.

    Args:
        builder: Grows the graph.
        weights: The module's constants.
        path: Where the forward pass is.
        batch: Batch size of the recorded inputs.
        evaluate: Computes the calls.
    """

    def __init__(
        self, builder: GraphBuilder, weights: Weights, path: ModulePath, batch: int,
        evaluate: Evaluate,
    ) -> None:  # fmt: skip
        super().__init__()
        self.builder = builder
        self.weights = weights
        self.path = path
        self.batch = batch
        self.problems: list[Problem] = []
        self._evaluate = evaluate
        self._tracked: dict[int, Tracked] = {}
        self._words: dict[int, Word] = {}

    def track(self, tensor: Tensor, name: str) -> None:
        """Note that `tensor` is the activation called `name`."""
        self._tracked[id(tensor)] = Tracked(tensor, name)

    def name_of(self, value: object) -> str | None:
        """Return the activation's name, or None if `value` is not an activation."""
        found = self._tracked.get(id(value))
        return None if found is None else found.name

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # fmt: skip
        kwargs = kwargs or {}
        name = function_name(func)
        used = [t for t in tensors_in((args, kwargs)) if id(t) in self._tracked]
        if name in SAME_VALUES and used and args and args[0] is not used[0]:
            # A constant takes over an activation's width, as in ``offset.to(x)``.
            bare = torch.empty(0, dtype=used[0].dtype)
            args, used = (args[0], *(bare if a is used[0] else a for a in args[1:])), []
        if not used:
            if name in SAME_VALUES:
                return in_full_width(func, args, kwargs, self._evaluate)
            if name in RANDOM:
                self._refuse(name, "it draws random numbers",
                             "use nn.Dropout, or move the noise into augmentation")  # fmt: skip
            return self._evaluate(func, args, kwargs)
        if self._makes_word(name, used):
            return self._followed(func, name, used, args, kwargs)
        if name in SAME_VALUES:
            return self._same_values(func, name, used[0], args, kwargs)
        versions = [_version(t) for t in used]
        result = self._evaluate(func, args, kwargs)
        changed = [t for t, version in zip(used, versions) if _version(t) != version]
        names = [self._tracked[id(t)].name for t in used]
        self._mark_stale(changed)
        if changed and not any(True for _ in tensors_in(result)):
            self._refuse(name, "it writes into a tensor", "use slices (x[:, a:b]) and torch.cat")
            for tensor in changed:
                self.track(tensor, UNKNOWN)
            return result
        if name in MAKES_CONSTANT or self._is_metadata(name, result):
            return result
        if any(id(result) == id(t) for t in used) and not changed:
            result = result.view_as(result)  # an unchanged input must keep its own name
        made = self._recorded(name, names, result, changed, (args, kwargs))
        for output, made_name in zip(tensors_in(result), made):
            self.track(output, made_name)
        return result

    def _makes_word(self, name: str, used: Sequence[Tensor]) -> bool:
        states = [self._tracked[id(t)].name for t in used]
        if UNKNOWN in states or STALE in states:
            return False
        is_metadata = name in _METADATA - {"type"} or name.startswith(".")
        return (name in ROUNDINGS or WORD in states) and not is_metadata

    def _followed(
        self, func: Callable[..., Any], name: str, used: Sequence[Tensor], args: Any, kwargs: Any
    ) -> Any:
        """Follow whole numbers until they are an activation again; see `integers`."""
        compute = in_full_width if name in SAME_VALUES else _passed_on
        result = compute(func, args, kwargs, self._evaluate)
        if not isinstance(result, Tensor) or any(result is t for t in used):
            self._refuse(name, VALUES_REASON, VALUES_HINT)
            return result
        try:
            made = self._word_or_name(name, used, args, kwargs, result)
        except Refused as refused:
            self._refuse(name, refused.reason, refused.hint)
            made = UNKNOWN
        if isinstance(made, Word):
            self._words[id(result)] = made
            made = WORD
        self.track(result, made)
        return result

    def _word_or_name(
        self, name: str, used: Sequence[Tensor], args: Any, kwargs: Any, result: Tensor
    ) -> Word | str:  # fmt: skip
        words = [self._words[id(t)] for t in used if self._tracked[id(t)].name == WORD]
        if not words:
            return rounded(self.builder, name, self._tracked[id(used[0])].name, kwargs)
        if len(words) < len(used) or result.shape != used[0].shape:
            raise Refused("it combines words with real numbers, or of other sizes")
        if name in SAME_VALUES | INTEGER_TYPES:
            return words[0]
        arguments = (*args, *kwargs.values())
        numbers = [value for value in arguments if all(value is not t for t in used)]

        def add(op: Op, names: Sequence[str], bits: int, frac: int) -> str:
            call = Call(self, self.path.current, self.path.is_layer, result)
            return call.add(op, names, bits=bits, frac=frac)

        return followed(name, words, numbers, add)

    def _same_values(
        self, func: Callable[..., Any], name: str, x: Tensor, args: Any, kwargs: Any
    ) -> Any:
        result = self._evaluate(func, args, kwargs)
        if not isinstance(result, Tensor):
            self._is_metadata(name, result)  # such as float(x), or x.type() without arguments
            return result
        if x.is_floating_point() and not result.is_floating_point():
            self._refuse(name, "it turns values into integers inside the network",
                         "leave rounding to quantization")  # fmt: skip
            self.track(result, UNKNOWN)
            return result
        if narrows(x, result):
            return x
        self.track(result, self._tracked[id(x)].name)
        return result

    def _is_metadata(self, name: str, result: object) -> bool:
        if name in READS_VALUES and not isinstance(result, Tensor):
            self._refuse(name, VALUES_REASON, VALUES_HINT)
            return True
        if any(True for _ in tensors_in(result)):
            return False
        if name not in _METADATA and not name.startswith("."):
            self._refuse(name, "its result is not a tensor", VALUES_HINT)
        return True

    def _recorded(
        self, name: str, names: list[str], result: Any, changed: list[Tensor],
        arguments: tuple[Any, Any],
    ) -> tuple[str, ...]:  # fmt: skip
        """Return the names of the results; unknown where the call is refused."""
        outputs = list(tensors_in(result))
        unknown = (UNKNOWN,) * len(outputs)
        if STALE in names:
            self._refuse(
                name, "it uses an activation that was changed in place through a view",
                "use the function without inplace=True or trailing underscore",
            )  # fmt: skip
            return unknown
        if UNKNOWN in names:
            if name not in HANDLERS:
                self._refuse(name, *_unknown_function(name))
            return unknown
        if any(all(t is not o for o in outputs) for t in changed):
            self._refuse(name, "it changes a tensor in place", "use the out-of-place form")
            return unknown
        try:
            return self._made(name, *arguments, result, outputs)
        except Refused as refused:
            self._refuse(name, refused.reason, refused.hint)
        except GraphError as error:
            self._refuse(name, error.what, "")
        return unknown

    def _made(
        self, name: str, args: Any, kwargs: Any, result: Any, outputs: list[Tensor]
    ) -> tuple[str, ...]:  # fmt: skip
        handler = HANDLERS.get(name)
        if handler is None:
            raise Refused(*_unknown_function(name))
        call = Call(self, self.path.current, self.path.is_layer, result)
        named = _plain(kwargs)
        try:
            made = handler(call, *args, **named)
        except TypeError:
            _check_arguments(handler, call, *args, **named)
            raise
        names = (made,) if isinstance(made, str) else tuple(made)
        for made_name, output in zip(names, outputs, strict=True):
            self._check_shape(made_name, output)
        return names

    def _check_shape(self, name: str, output: Tensor) -> None:
        if output.dim() == 0 or output.shape[0] != self.batch:
            raise Refused(
                f"its result {tuple(output.shape)} has lost the batch axis",
                "keep axis 0 as it is; every sample must be computed on its own",
            )
        expected = self.builder.shape_of(name)
        if tuple(output.shape[1:]) != expected and not self._is_broadcast(output, expected):
            raise Refused(
                f"its result has shape {tuple(output.shape[1:])} per sample where the graph's "
                f"operator gives {expected}"
            )

    def _is_broadcast(self, output: Tensor, shape: tuple[int, ...]) -> bool:
        """Return whether `output` merely repeats values of a smaller activation (expand)."""
        return len(shape) == output.dim() - 1 and all(
            small in {1, size} for small, size in zip(shape, output.shape[1:])
        )

    def _mark_stale(self, changed: Iterable[Tensor]) -> None:
        for tensor in changed:
            memory = _memory(tensor)
            for key, tracked in self._tracked.items():
                if tracked.tensor is not tensor and _memory(tracked.tensor) == memory:
                    self._tracked[key] = Tracked(tracked.tensor, STALE)

    def _refuse(self, function: str, reason: str, hint: str) -> None:
        self.problems.append(Problem(self.path.current, function.lstrip("."), reason, hint))


def _version(tensor: Tensor) -> int:
    """Return torch's count of in-place changes."""
    return tensor._version  # noqa: SLF001 - the only way to see them


def _check_arguments(handler: Handler, *args: Any, **kwargs: Any) -> None:
    """Raise Refused if a handler does not take the arguments, which torch took."""
    try:
        inspect.signature(handler).bind(*args, **kwargs)
    except TypeError as error:
        raise Refused(f"its arguments are not understood ({error})") from None


def _memory(tensor: Tensor) -> int:
    """Return which storage a tensor is a view of; meta tensors have one, though no memory."""
    identity: int = tensor.untyped_storage()._cdata  # noqa: SLF001 - addresses are all 0 there
    return identity


def _passed_on(func: Callable[..., Any], args: Any, kwargs: Any, evaluate: Evaluate) -> Any:
    return evaluate(func, args, kwargs)


def _unknown_function(name: str) -> tuple[str, str]:
    return KNOWN.get(name, ("the graph has no operator for it", ""))


def _plain(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return keyword arguments under the names that handlers use for the first tensor."""
    return {"input" if key in {"self", "tensor", "x"} else key: v for key, v in kwargs.items()}

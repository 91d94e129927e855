"""All blocks of a configuration against the rules: every conflict with its place and its fix."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from nibblefit_vitis.configuration.json_text import KeyPath
from nibblefit_vitis.configuration.keys import ACCEPTED, KINDS, KINDS_KEY, OVERALL, TENSORS
from nibblefit_vitis.configuration.merging import Scope, merge
from nibblefit_vitis.configuration.problems import REMOVED, Edits, Problems, dotted, shown
from nibblefit_vitis.configuration.rules import Broken, broken
from nibblefit_vitis.configuration.schema import Configuration, LayerEntry
from nibblefit_vitis.settings import Device, Kind

#: The first operator set whose QuantizeLinear has channels.
OLDEST_OPSET = 13


def newest_opset() -> int:
    """Return the newest operator set that the installed onnx can check."""
    import onnx.defs

    return onnx.defs.onnx_opset_version()


@dataclass(frozen=True, slots=True)
class _Conflict:
    """A broken rule, for all kinds whose value one block set.

    Attributes:
        block: The block; None for a built-in default.
        rule: What is broken.
        value: The value found.
        kinds: Kinds of tensors it is broken for.
    """

    block: KeyPath | None
    rule: Broken
    value: object
    kinds: tuple[Kind, ...]


def check(configuration: Configuration, problems: Problems, *, parity: bool) -> None:
    """Record every conflict of the network's blocks and of each entry for layers."""
    if not parity:
        for number, entry in enumerate(configuration.layer_quantize_config):
            _check_entry(entry, ("layer_quantize_config", number), problems)
        _check_network(configuration, problems)
    scopes = merge(configuration, parity=parity)
    for scope in _in_order(scopes, configuration):
        if configuration.device is Device.DPU:
            _check_widths(scope, scopes[0], problems)
        for conflict in _conflicts(scope, configuration.device, parity):
            _record(scope, conflict, problems)


def _in_order(scopes: Sequence[Scope], configuration: Configuration) -> Iterable[Scope]:
    """Return the scopes as the original looks at them: the network, types, names."""
    entries = configuration.layer_quantize_config
    return sorted(scopes, key=lambda one: 0 if one.entry is None else
                  1 + (entries[one.entry].kind_of_name == "layer_name"))  # fmt: skip


def _check_network(configuration: Configuration, problems: Problems) -> None:
    listed = configuration.quantizable_data_type
    if listed is not None and set(listed) != set(Kind):
        missing = ", ".join(kind for kind in KINDS if kind not in listed)
        problems.add(
            (KINDS_KEY,), f"{KINDS_KEY} leaves out {missing}; at the top level accepted are all "
            "four kinds (the original ignores a shorter list)",
            f"list all four, or remove {KINDS_KEY}",
        )  # fmt: skip
    opset = configuration.onnx_opset_version
    if opset is not None and opset != -1 and not OLDEST_OPSET <= opset <= newest_opset():
        problems.add(("onnx_opset_version",), f"onnx_opset_version = {opset}; accepted is "
                     f"{ACCEPTED['onnx_opset_version']}, at most {newest_opset()} with the "
                     "installed onnx", "write -1, or leave it out")  # fmt: skip
    for key in ("change_concat_input_fix", "change_pool_input_fix"):
        if getattr(configuration, key) and configuration.device in (Device.CPU, Device.GPU):
            problems.add((key,), f"{key} means nothing for {configuration.device}: it is about the "
                         "fix positions of a DPU; accepted there is false",
                         "remove it", {(key,): REMOVED})  # fmt: skip
    _check_statistics(configuration, (), problems)


def _check_entry(entry: LayerEntry, path: KeyPath, problems: Problems) -> None:
    if not entry.layer_type and not entry.layer_name:
        problems.add(path, f"{dotted(path)} names neither layer_type nor layer_name, so it is "
                     "about no layer", 'add "layer_type": "Conv2d", or a name')  # fmt: skip
    if entry.layer_type and entry.layer_name:
        problems.add(path, f"{dotted(path)} names layer_type and layer_name; accepted is one of "
                     "them (the original ignores the name)", "write two entries")  # fmt: skip
    if not entry.quantizable_data_type:
        problems.add((*path, KINDS_KEY), f"{dotted(path)}.{KINDS_KEY} is empty, so the entry "
                     f"changes nothing; accepted is a list of {', '.join(KINDS)}",
                     "list the kinds that the entry is about")  # fmt: skip
    tensors = entry.tensor_quantize_config
    for kind in KINDS:
        if tensors and getattr(tensors, kind) and kind not in entry.quantizable_data_type:
            block = (*path, TENSORS, kind.value)
            problems.add(block, f"{dotted(block)} is not read: {KINDS_KEY} of the entry leaves "
                         f"{kind} out", f'add "{kind}" to that list')  # fmt: skip
    _check_statistics(entry, path, problems)


def _check_statistics(
    blocks: Configuration | LayerEntry, path: KeyPath, problems: Problems
) -> None:
    """Refuse a statistic where parameters alone are meant: they are looked at once."""
    tensors = blocks.tensor_quantize_config
    for kind in (Kind.WEIGHTS, Kind.BIAS):
        if tensors and tensors.of(kind).calib_statistic_method is not None:
            key = (*path, TENSORS, kind.value, "calib_statistic_method")
            problems.add(key, f"{dotted(key)} means nothing: there is one scale of {kind}, from no "
                         "batches; accepted in blocks of input and activation",
                         "remove it", {key: REMOVED})  # fmt: skip


def _check_widths(scope: Scope, network: Scope, problems: Problems) -> None:
    """A DPU's bias is as wide as its activations."""
    found = {kind: scope.merged.get(kind) or network.merged[kind]
             for kind in (Kind.BIAS, Kind.ACTIVATION)}  # fmt: skip
    bias, activation = found[Kind.BIAS].setting, found[Kind.ACTIVATION].setting
    if {bias.datatype, activation.datatype} != {"int"} or bias.bit_width == activation.bit_width:
        return
    if scope.entry is not None and not any(scope.sets(kind) for kind in found if
                                           kind in scope.merged):  # fmt: skip
        return
    block = found[Kind.BIAS].origins.get("bit_width") or scope.path
    kind = Kind.BIAS if Kind.BIAS in scope.merged else Kind.ACTIVATION
    other = activation if kind is Kind.BIAS else bias
    problems.add(
        (*block, "bit_width"), f"bit_width of bias is {bias.bit_width}, that of activation "
        f"{activation.bit_width}{_place(scope)}; accepted are equal ones: a DPU has one width "
        "for both", *_override(scope, [kind], "bit_width", other.bit_width),
    )  # fmt: skip


def _conflicts(scope: Scope, device: Device, parity: bool) -> Iterator[_Conflict]:
    """Yield what is broken; conflicts that an entry only inherits belong to the network."""
    found: dict[tuple[object, ...], _Conflict] = {}
    for kind, merged in scope.merged.items():
        if scope.entry is not None and not scope.sets(kind):
            continue
        for rule in broken(merged.setting, kind, device, parity=parity):
            block = merged.origins.get(rule.key)
            value = getattr(merged.setting, rule.key)
            key = (block, rule, value)
            before = found[key].kinds if key in found else ()
            found[key] = _Conflict(block, rule, value, (*before, kind))
    yield from found.values()


def _record(scope: Scope, conflict: _Conflict, problems: Problems) -> None:
    rule, kinds = conflict.rule, ", ".join(conflict.kinds)
    accepted = ", ".join(shown(value) for value in rule.accepted)
    if conflict.block is None:
        what = f"{rule.key} of {kinds} is {shown(conflict.value)} by default{_place(scope)}"
        path: KeyPath = (*scope.path, OVERALL)
    else:
        path = (*conflict.block, rule.key)
        what = f"{dotted(path)} = {shown(conflict.value)}, which holds for {kinds}{_place(scope)}"
    problems.add(path, f"{what}; accepted here is {accepted}: {rule.why}",
                 *_fix(scope, conflict))  # fmt: skip


def _place(scope: Scope) -> str:
    return f" in {dotted(scope.path)}" if scope.entry is not None else ""


def _fix(scope: Scope, conflict: _Conflict) -> tuple[str, Edits]:
    """Return how to mend a conflict: in the block itself where nothing else depends on it."""
    value, key, block = conflict.rule.accepted[0], conflict.rule.key, conflict.block
    if block is not None and block[: len(scope.path)] == scope.path:
        users = {kind for kind, one in scope.merged.items() if one.origins.get(key) == block}
        if users == set(conflict.kinds):
            return f'write "{key}": {json.dumps(value)} there', {(*block, key): value}
    return _override(scope, conflict.kinds, key, value)


def _override(
    scope: Scope, kinds: Iterable[Kind], key: str, value: object
) -> tuple[str, Edits]:  # fmt: skip
    blocks = {TENSORS: {kind.value: {key: value} for kind in kinds}}
    place = f" to {dotted(scope.path)}" if scope.entry is not None else ""
    edits = {(*scope.path, TENSORS, kind, key): value for kind in blocks[TENSORS]}
    return f"add {json.dumps(blocks)[1:-1]}{place}", edits

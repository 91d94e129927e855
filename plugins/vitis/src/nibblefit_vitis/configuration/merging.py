"""The order in which blocks are laid over each other, and which block had the last word.

Source: pytorch_nndct 3.5. Built-in defaults; the block for all kinds; the block of the kind. An
entry for layers starts from a copy of what that gives for the network, then lays its own two
blocks over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from nibblefit_vitis.configuration.json_text import KeyPath
from nibblefit_vitis.configuration.keys import KINDS, LAYERS, MEASURED, OVERALL, TENSORS
from nibblefit_vitis.configuration.schema import Configuration, LayerEntry, QuantizeBlock
from nibblefit_vitis.settings import (
    DPU_DEFAULT,
    Kind,
    LayerSetting,
    Method,
    Statistic,
    TensorSetting,
)

#: Source: pytorch_nndct 3.5; also what a block without the key falls back to there.
PERCENTAGE = 99.99


@dataclass(frozen=True, slots=True)
class Merged:
    """What holds for one kind of tensor in one scope.

    Attributes:
        setting: The merged setting.
        origins: Key → the block that set it last; keys left at their default are not there.
    """

    setting: TensorSetting
    origins: Mapping[str, KeyPath]


@dataclass(frozen=True, slots=True)
class Scope:
    """The network, or one entry for layers.

    Attributes:
        entry: Place in the list of entries; None for the network.
        merged: By kind; of an entry only those it is about.
    """

    entry: int | None
    merged: Mapping[Kind, Merged]

    @property
    def path(self) -> KeyPath:
        """Where the scope's blocks are."""
        return () if self.entry is None else (LAYERS, self.entry)

    def sets(self, kind: Kind) -> bool:
        """Return whether the scope's own blocks say anything about a kind."""
        depth = len(self.path)
        return any(block[:depth] == self.path for block in self.merged[kind].origins.values())

    @property
    def setting(self) -> LayerSetting:
        """The settings alone."""
        return MappingProxyType({kind: one.setting for kind, one in self.merged.items()})


def defaults(*, parity: bool) -> LayerSetting:
    """Return what holds where a file says nothing.

    The original combines batches by the most frequent fix position, which depends on how the
    samples are divided into batches; looking at all samples at once does not.
    """
    if parity:
        return DPU_DEFAULT
    return MappingProxyType({
        kind: replace(setting, calib_statistic_method=Statistic.POOLED)
        if kind in MEASURED else setting
        for kind, setting in DPU_DEFAULT.items()
    })  # fmt: skip


def merge(configuration: Configuration, *, parity: bool) -> tuple[Scope, ...]:
    """Return the network's scope, then those of the entries for layers in their order."""
    start = {kind: Merged(setting, MappingProxyType({}))
             for kind, setting in defaults(parity=parity).items()}  # fmt: skip
    network = _laid(start, configuration, (), parity)
    scopes = [Scope(None, MappingProxyType(network))]
    for number, entry in enumerate(configuration.layer_quantize_config):
        base = {kind: network[kind] for kind in KINDS if kind in entry.quantizable_data_type}
        laid = _laid(base, entry, (LAYERS, number), parity)
        scopes.append(Scope(number, MappingProxyType(laid)))
    return tuple(scopes)


def _laid(
    base: Mapping[Kind, Merged], blocks: Configuration | LayerEntry, path: KeyPath, parity: bool
) -> dict[Kind, Merged]:
    overall = blocks.overall_quantize_config or QuantizeBlock()
    found = {}
    for kind in (kind for kind in KINDS if kind in base):
        merged = _overlaid(base[kind], overall, (*path, OVERALL), kind, parity)
        tensors = blocks.tensor_quantize_config
        if tensors is not None and getattr(tensors, kind.value) is not None:
            merged = _overlaid(merged, tensors.of(kind), (*path, TENSORS, kind.value), kind, parity)
        found[kind] = merged
    return found


def _overlaid(
    base: Merged, block: QuantizeBlock, path: KeyPath, kind: Kind, parity: bool
) -> Merged:
    given: dict[str, Any] = block.given()
    if kind not in MEASURED:
        given.pop("calib_statistic_method", None)
    method = given.get("method", base.setting.method)
    if parity and given and method is Method.PERCENTILE:
        # Every block starts the percentage anew, also one that does not mention it.
        given.setdefault("percentage", PERCENTAGE)
    origins = {**base.origins, **dict.fromkeys(given, path)}
    return Merged(replace(base.setting, **given), MappingProxyType(origins))

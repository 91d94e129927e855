"""Which layer gets which weights: dealt out in the checkpoint's order, or taken from another layer.

Source: ai8x-synthesis commit ab4f4c0, `izer/checkpoint.py` and `izer/izer.py`. A layer with
`weight_source` shares codes, bias and shift; its width is its own, 8 if not written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nibblefit_maxim.layers import Operator
from nibblefit_maxim.parts import Part
from nibblefit_maxim.reading.checkpoint import LayerParameters
from nibblefit_maxim.reading.codes import Codes, codes_of
from nibblefit_maxim.reading.entry import LayerEntry, NetworkEntry
from nibblefit_maxim.reading.misfit import Misfit
from nibblefit_maxim.reading.problems import Problems


class Supply:
    """The weights of one network."""

    def __init__(
        self,
        network: NetworkEntry,
        parameters: Sequence[LayerParameters] | None,
        part: Part,
        problems: Problems,
    ) -> None:
        """Deal the parameters out; None: there is no checkpoint."""
        self._part = part
        self._problems = problems
        self._is_known = parameters is not None
        self._dealt: dict[int, LayerParameters] = {}
        self._codes: dict[int, Codes] = {}
        self._numbers: dict[str, int] = {}
        waiting = list(parameters or ())
        for entry in sorted((*network.layers, *network.idle), key=lambda entry: entry.number):
            self._numbers[entry.name.lower()] = self._numbers[str(entry.number)] = entry.number
            if _has_weights(entry) and "weight_source" not in entry.given and waiting:
                self._dealt[entry.number] = waiting.pop(0)
        self._left = waiting

    @property
    def is_known(self) -> bool:
        """Whether there is a checkpoint."""
        return self._is_known

    def left(self) -> list[str]:
        """Return the modules whose weights no layer got."""
        used = {_plain(item.name) for item in self._dealt.values()}
        # Checkpoints of parallel training may hold every layer twice, once below ``module``.
        return [item.name for item in self._left if _plain(item.name) not in used]

    def codes(self, entry: LayerEntry) -> Codes | None:
        """Return a layer's integers; None if it has no weights, or there is no checkpoint.

        Raises:
            Misfit: The checkpoint has none for it.
        """
        if not _has_weights(entry) or not self._is_known:
            return None
        if "weight_source" in entry.given:
            found = self._shared(entry)
        elif entry.number in self._dealt:
            found = codes_of(entry, self._dealt[entry.number], self._part, self._problems)
        else:
            raise Misfit(
                entry.line, "checkpoint-layers",
                "the checkpoint has no weights left for it; a layer without weights may be "
                "missing from the file, or the checkpoint belongs to another network",
            )  # fmt: skip
        self._codes[entry.number] = found
        return found

    def _shared(self, entry: LayerEntry) -> Codes:
        source = str(entry.get("weight_source")).lower()
        found = self._codes.get(self._numbers.get(source, -1))
        if found is None:
            raise Misfit(
                entry.line_of("weight_source"), "in-sequences",
                f"'weight_source' names {source}, not a layer with weights before",
            )  # fmt: skip
        if found.is_binary:
            return found
        bits = int(entry.get("quantization") or 8)
        return replace(
            found, weight_bits=bits, total_shift=found.total_shift + found.weight_bits - bits
        )


def _has_weights(entry: LayerEntry) -> bool:
    return entry.operator is not Operator.PASSTHROUGH and not entry.get("bypass")


def _plain(module: str) -> str:
    return module.removeprefix("module.")

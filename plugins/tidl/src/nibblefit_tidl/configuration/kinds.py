"""Which of the vendor's configurations a file is, and what it says, whatever kind it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nibblefit.errors import InputError
from nibblefit_tidl.configuration.assignments import entries_of
from nibblefit_tidl.configuration.classic import ClassicImport, read_classic
from nibblefit_tidl.configuration.fields import comments_of, keys_of
from nibblefit_tidl.configuration.files import read_text
from nibblefit_tidl.configuration.importer import RtImport, read_importer
from nibblefit_tidl.configuration.importer_model import ALIASES
from nibblefit_tidl.configuration.problems import Problems, Remark
from nibblefit_tidl.configuration.provider import read_options_file
from nibblefit_tidl.configuration.provider_model import ProviderOptions
from nibblefit_tidl.configuration.provider_rules import provider_advice
from nibblefit_tidl.configuration.zoo import provider_options, read_zoo_index, read_zoo_model
from nibblefit_tidl.devices import Device

CLASSIC, IMPORTER, PROVIDER, MODEL, INDEX = "classic", "importer", "provider", "model", "index"


@dataclass(frozen=True, slots=True)
class Content:
    """What a configuration says.

    Attributes:
        kind: One of the kinds of this module.
        values: Keys that are given → values.
        meanings: Key → what it means, where the kind has explanations.
        advice: What is legal and worth a word.
    """

    kind: str
    values: Mapping[str, Any]
    meanings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    advice: tuple[Remark, ...] = ()


def kind_of(path: Path) -> str:
    """Return which configuration a file is, by its suffix and its keys.

    Raises:
        InputError: It is none of them.
    """
    if path.suffix == ".json":
        return PROVIDER
    if path.suffix in (".yaml", ".yml"):
        lines = (line for line in read_text(path).splitlines() if line and line[0].isalpha())
        return INDEX if next(lines, "").startswith("configs") else MODEL
    keys = {entry.key for entry in entries_of(read_text(path), Problems(path.name))}
    classic, current = set(keys_of(ClassicImport)), {*keys_of(RtImport), *ALIASES}
    if not keys & (classic | current):
        raise InputError(
            f"{path} is in no known format: it sets no key of an import configuration",
            hint="known are both importers' text (key = value), the provider's options (.json) "
            "and the model zoo's descriptions (.yaml)",
        )
    return CLASSIC if len(keys & classic - current) > len(keys & current - classic) else IMPORTER


def read_configuration(path: Path, kind: str = "", device: Device | None = None) -> Content:
    """Return what a configuration says, after all its checks.

    Args:
        path: The file.
        kind: One of the kinds; empty finds out.
        device: Checks for that device as well, where the kind belongs to its generation.

    Raises:
        InputError: The format is unknown, or the file has problems; lists all.
    """
    kind = kind or kind_of(path)
    if kind not in _READERS:
        raise InputError(f"there is no kind of configuration '{kind}'",
                         hint=f"use one of: {', '.join(_READERS)}")  # fmt: skip
    return _READERS[kind](path, device)


def _classic(path: Path, device: Device | None) -> Content:  # noqa: ARG001 - same for all kinds
    return Content(CLASSIC, read_classic(path).given(), comments_of(ClassicImport))


def _importer(path: Path, device: Device | None) -> Content:
    return Content(IMPORTER, read_importer(path, device=device).given(), comments_of(RtImport))


def _provider(path: Path, device: Device | None) -> Content:
    options = read_options_file(path, device)
    return Content(PROVIDER, options.flat(), comments_of(ProviderOptions),
                   tuple(provider_advice(options)))  # fmt: skip


def _model(path: Path, device: Device | None) -> Content:
    model = read_zoo_model(path, device)
    session, options = model.session, provider_options(model, device)
    values = {
        "task_type": model.task_type,
        "model_path": session.model_path,
        "input_mean": session.input_mean,
        "input_scale": session.input_scale,
        **options.flat(),
    }
    return Content(MODEL, values, comments_of(ProviderOptions), tuple(provider_advice(options)))


def _index(path: Path, device: Device | None) -> Content:  # noqa: ARG001 - same for all kinds
    return Content(INDEX, read_zoo_index(path).configs)


_READERS: Mapping[str, Callable[[Path, Device | None], Content]] = MappingProxyType({
    CLASSIC: _classic, IMPORTER: _importer, PROVIDER: _provider, MODEL: _model, INDEX: _index,
})  # fmt: skip

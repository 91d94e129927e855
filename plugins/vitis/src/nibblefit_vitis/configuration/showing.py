"""A configuration as tables and as JSON: what holds for every kind of tensor, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nibblefit.results import Table
from nibblefit_vitis.configuration.keys import KINDS, MEASURED, SWITCHES
from nibblefit_vitis.configuration.merging import Scope, merge
from nibblefit_vitis.configuration.schema import Configuration, QuantizeBlock
from nibblefit_vitis.settings import Method, NetworkSetting, TensorSetting


def tables(configuration: Configuration, *, parity: bool) -> tuple[Table, ...]:
    """Return the switches, then the merged settings of the network and of each entry."""
    scopes = merge(configuration, parity=parity)
    return (_switch_table(configuration), *(_scope_table(configuration, one) for one in scopes))


def document(configuration: Configuration, *, parity: bool) -> dict[str, Any]:
    """Return everything that the tables say, for JSON."""
    network, *entries = merge(configuration, parity=parity)
    return {
        "device": configuration.device,
        "parity": parity,
        "switches": _switches(configuration),
        "network": _values(network),
        "layers": [
            {entry.kind_of_name: entry.named, "settings": _values(scope)}
            for entry, scope in zip(configuration.layer_quantize_config, entries)
        ],
        "written": configuration.written(),
        "notes": list(configuration.notes),
    }


def _switches(configuration: Configuration) -> dict[str, Any]:
    default = NetworkSetting()
    found = {}
    for key in (*SWITCHES, "onnx_opset_version"):
        given = getattr(configuration, key)
        found[key] = getattr(default, key) if given is None else given
    return found


def _switch_table(configuration: Configuration) -> Table:
    rows = [("target_device", configuration.device.value, _source(configuration.target_device))]
    rows += [(key, _cell(value), _source(getattr(configuration, key)))
             for key, value in _switches(configuration).items()]  # fmt: skip
    return Table("Network", ("key", "value", "from"), tuple(rows))


def _source(given: Any) -> str:
    return "default" if given is None else "file"


def _scope_table(configuration: Configuration, scope: Scope) -> Table:
    title = "Tensors; * is a default"
    if scope.entry is not None:
        entry = configuration.layer_quantize_config[scope.entry]
        title = f"Layers of {entry.kind_of_name} {entry.named}"
    kinds = tuple(kind for kind in KINDS if kind in scope.merged)
    rows = []
    for key in QuantizeBlock.model_fields:
        cells = []
        for kind in kinds:
            one = scope.merged[kind]
            mark = "" if key in one.origins else "*"
            cells.append(f"{_cell(_used(one.setting).get(key))}{mark}"
                         if _has(key, kind, one.setting) else "–")  # fmt: skip
        if any(cell != "–" for cell in cells):
            rows.append((key, *cells))
    return Table(title, ("key", *(kind.value for kind in kinds)), tuple(rows))


def _has(key: str, kind: object, setting: TensorSetting) -> bool:
    if key == "calib_statistic_method":
        return kind in MEASURED
    return key != "percentage" or setting.method is Method.PERCENTILE


def _used(setting: TensorSetting) -> Mapping[str, Any]:
    return {key: getattr(setting, key) for key in QuantizeBlock.model_fields}


def _values(scope: Scope) -> dict[str, Any]:
    return {
        kind.value: {key: value for key, value in _used(one.setting).items()
                     if _has(key, kind, one.setting)}
        for kind, one in scope.merged.items()
    }  # fmt: skip


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)

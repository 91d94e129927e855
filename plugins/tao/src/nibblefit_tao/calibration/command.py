"""The command ``nibblefit tao cache``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nibblefit.errors import InputError

if TYPE_CHECKING:
    from nibblefit_tao.calibration.cache import CalibrationCache


_Model = Annotated[Path | None, typer.Option("--for", help="ONNX model that it must be made for.")]
_TensorRt = Annotated[
    str, typer.Option("--tensorrt", help="Version that must accept it, such as 10.3.0.")
]
_Out = Annotated[
    Path | None, typer.Option("--out", help="Cache to write for the version of --tensorrt.")
]


def cache(
    file: Annotated[Path, typer.Argument(help="Calibration cache, or tensor scales (.json).")],
    *,
    model: _Model = None,
    tensorrt: _TensorRt = "",
    out: _Out = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what a calibration cache of TensorRT holds: each tensor's scale and range.

    TensorRT uses the cache of another model without a word and takes none of another version;
    `--for` and `--tensorrt` refuse both. With `--out` the scales are written again for the version
    of `--tensorrt`, which is all that a newer TensorRT needs.

    **Example:** `nibblefit tao cache cal.bin --for model.onnx --tensorrt 10.3.0`
    """
    from nibblefit_tao.calibration.cache import header, write_cache
    from nibblefit_tao.calibration.staleness import require_fresh, require_version

    found = _read(file, tensorrt)
    _require_purpose(model, tensorrt, out)
    if out is not None:
        found = replace(found, header=header(tensorrt))
        require_version(found, tensorrt)
    if model is not None:
        require_fresh(found, model, tensorrt)
    if out is not None:
        write_cache(found, out)
    _show(found, out, as_json=as_json)


def _require_purpose(model: Path | None, tensorrt: str, out: Path | None) -> None:
    """Refuse options that say nothing without another one."""
    if out is not None and not tensorrt:
        raise InputError("--out says nothing without a version", hint="add --tensorrt 10.3.0")
    if out is None and tensorrt and model is None:
        raise InputError("--tensorrt says nothing without a model",
                         hint="add --for model.onnx, or --out")  # fmt: skip


def _show(found: CalibrationCache, out: Path | None, *, as_json: bool) -> None:
    from nibblefit.cli.output import write_json, write_line, write_table
    from nibblefit.results import Table

    ranges = found.ranges()
    if as_json:
        write_json({"header": found.header, "ranges": ranges})
        return
    rows = tuple((n, float(s), ranges[n]) for n, s in found.scales.items())
    write_line(found.header or "no version")
    write_table(Table("Calibration", ("tensor", "scale", "largest magnitude"), rows))
    if out is not None:
        write_line(f"cache: {out}")


def _read(file: Path, tensorrt: str) -> CalibrationCache:
    from nibblefit_tao.calibration.cache import from_ranges, header, read_cache
    from nibblefit_tao.calibration.scales import read_scales

    if file.suffix != ".json":
        return read_cache(file)
    return from_ranges(read_scales(file), header(tensorrt) if tensorrt else "")

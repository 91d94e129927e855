"""``nibblefit tidl lint`` and ``nibblefit tidl compare``: QDQ models of anyone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nibblefit.errors import InputError, LimitError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from nibblefit.quantization.qdq.agreement import Agreement
    from nibblefit.results import Table
    from nibblefit_tidl.qdq.comparing import ReasonsOfTensor

_Model = Annotated[Path, typer.Argument(help="The QDQ model.", metavar="MODEL.ONNX")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_COUNTS = ("count", "differing", "inherited", "exact_ties", "near_ties", "factors", "unexplained")


def lint(
    model: _Model,
    part: Annotated[
        str, typer.Option("--part", help="Device; unset: rules that hold on all devices.")
    ] = "",
    as_json: _Json = False,
) -> None:
    """Find what TI's tools will not take, or take badly, in a QDQ ONNX model.

    Each finding has rule, node and remedy; the manual's page on QDQ lists the rules. Exits 4 if
    there is an error.

    **Example:** `nibblefit tidl lint model.onnx --part tda4vm`

    **Next:** `nibblefit tidl compare` runs a model without errors as integers.
    """
    from nibblefit.cli.output import write_json, write_line
    from nibblefit_tidl.qdq.linting.lint import lint_qdq

    found = lint_qdq(model, part)
    if as_json:
        write_json(found.as_json())
    else:
        for line in found.lines():
            write_line(line)
    if found.errors:
        raise LimitError(found.summary, hint="correct the errors; warnings and notes may stay")
    if not as_json:
        write_line(found.summary)


def compare(
    model: _Model,
    inputs: Annotated[
        Path | None,
        typer.Option("--inputs", help="npz or npy with real inputs; unset: random ones."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of random inputs.")] = 1,
    as_json: _Json = False,
) -> None:
    """Run a QDQ model as integers and in onnxruntime, and explain every difference.

    Exits 4 if a difference is neither a rounding tie, nor a factor that the device keeps in few
    bits, nor inherited from either.

    **Example:** `nibblefit tidl compare model.onnx --inputs x.npz`

    **Next:** `nibblefit tidl lint` says what TI's tools think of the file.
    """
    from dataclasses import asdict

    from nibblefit.cli.output import write_json, write_table
    from nibblefit_tidl.qdq.comparing import compare as compare_model
    from nibblefit_tidl.qdq.reading import QDQ_TENSORS, read_qdq

    graph = read_qdq(model)
    (name,) = graph.inputs if len(graph.inputs) == 1 else ("",)
    if not name:
        raise InputError(f"{model} has {len(graph.inputs)} inputs", hint="compare takes one")
    shape, step = graph.tensors[name].shape, graph.tensors[name].format.scale.values()[0]
    samples = _samples(inputs, shape, seed, 128.0 * float(step))
    found = compare_model(graph, model, {name: samples}, graph.metadata[QDQ_TENSORS])
    if as_json:
        write_json({"tensors": [asdict(entry) for entry in found.tensors.values()],
                    "total": asdict(found.total)})  # fmt: skip
    else:
        write_table(_table(found))
    found.require_explained()


def _samples(path: Path | None, shape: tuple[int, ...], seed: int,
             bound: float) -> npt.NDArray[np.float32]:  # fmt: skip
    """Return inputs of batch size 1, as files for these devices have it."""
    import numpy as np

    if path is None:
        random = np.random.default_rng(seed)
        return random.uniform(-bound, bound, (1, *shape)).astype(np.float32)
    try:
        loaded: Any = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise InputError(
            f"{path} cannot be read: {problem}", hint="save it with np.save"
        ) from problem
    if not isinstance(loaded, np.ndarray):
        names = list(loaded)
        loaded = loaded["x" if "x" in names else names[0]] if names else np.zeros(())
    if loaded.shape[1:] != shape or loaded.dtype.kind != "f":
        raise InputError(
            f"{path} holds {loaded.dtype} of shape {loaded.shape}; expected float "
            f"(1, {', '.join(map(str, shape))})",
            hint="give real inputs, batch first",
        )
    return np.asarray(loaded, np.float32)


def _table(found: Agreement[ReasonsOfTensor]) -> Table:
    from nibblefit.results import Table

    rows = [
        (entry.tensor, *(getattr(entry, name) for name in _COUNTS), f"{entry.farthest:.1e}")
        for entry in (*found.tensors.values(), found.total)
    ]
    columns = ("tensor", *(name.replace("_", " ") for name in _COUNTS), "farthest tie")
    return Table("Integers of judge and onnxruntime", columns, tuple(rows))

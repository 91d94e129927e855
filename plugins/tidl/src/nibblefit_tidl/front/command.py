"""``nibblefit tidl front``: a float ONNX model that takes uint8 pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nibblefit.errors import InputError, RecipeError, UnsupportedError, WorkspaceError

if TYPE_CHECKING:
    import onnx

    from nibblefit.ir.graph import Graph
    from nibblefit_tidl.devices import Device
    from nibblefit_tidl.front.cost import FrontCost, Host
    from nibblefit_tidl.front.preprocessing import Preprocessing


_Mean = Annotated[str, typer.Option("--mean", help="Pixel means, such as 123.7,116.3,103.5.")]
_Scale = Annotated[
    str, typer.Option("--scale", help="Factors behind them, such as 0.017,0.0175,0.0174.")
]
_Mode = Annotated[
    str,
    typer.Option(
        "--mode", help="fold: into the first layer of a float model; convert: nodes in front."
    ),
]
_Border = Annotated[
    str, typer.Option("--border", help="fold: refuse a padded first layer, or pad it.")
]
_HostClock = Annotated[
    float | None,
    typer.Option("--host-clock", help="GHz of one Arm core; unset: assumed by device."),
]
_MemoryBandwidth = Annotated[
    float | None,
    typer.Option("--memory-bandwidth", help="GB/s of memory; unset: assumed by device."),
]


def front(  # noqa: PLR0917 - options of a command
    model: Annotated[Path, typer.Argument(help="Float or QDQ model.", metavar="MODEL.ONNX")],
    out: Annotated[Path, typer.Option("--out", help="Model to write.")],
    mean: _Mean = "0",
    scale: _Scale = "1",
    mode: _Mode = "convert",
    border: _Border = "refuse",
    part: Annotated[str, typer.Option("--part", help="Device for the cost estimate.")] = "",
    host_clock: _HostClock = None,
    memory_bandwidth: _MemoryBandwidth = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Put mean and scale into a model, so that it takes pixels of 0 to 255.

    Prints what normalizing costs on the host, in converting layers, and folded.

    **Example:** `nibblefit tidl front model.onnx --mean 128 --scale 0.0078125 --out pixels.onnx`

    **Next:** compile the new model with add_data_convert_ops 3.
    """
    from nibblefit_tidl.devices import device_named
    from nibblefit_tidl.qdq.structure import load_model

    device = device_named(part)
    host = _host(device, host_clock, memory_bandwidth)
    loaded = load_model(model)
    shape = _shape(loaded, model)
    given = _preprocessing(mean, scale, shape[0])
    made, line, padding = _made(loaded, model, given, mode, border)
    try:
        out.write_bytes(made.SerializeToString(deterministic=True))
    except OSError as problem:
        raise WorkspaceError(f"{out} cannot be written: {problem.strerror}") from problem
    _show(line, out, _costs(shape, device, host, padding), as_json=as_json)


def _host(device: Device, clock: float | None, bandwidth: float | None) -> Host:
    from nibblefit_tidl.front.cost import Host, host_of

    assumed = host_of(device)
    return Host(assumed.clock_ghz if clock is None else clock,
                assumed.bandwidth_gb_s if bandwidth is None else bandwidth)  # fmt: skip


def _costs(shape: tuple[int, ...], device: Device, host: Host,
           padding: int) -> tuple[FrontCost, ...]:  # fmt: skip
    """Return the costs of an image, none of other inputs."""
    from nibblefit_tidl.front.cost import front_costs

    if len(shape) != 3 or min(shape) < 1:
        return ()
    return front_costs(shape, device, padding=padding, host=host)


def _show(line: str, out: Path, costs: tuple[FrontCost, ...], *, as_json: bool) -> None:
    from dataclasses import asdict

    from nibblefit.cli.output import write_json, write_line, write_table
    from nibblefit_tidl.front.cost import cost_table

    if as_json:
        write_json({"model": str(out), "message": line, "costs": [asdict(one) for one in costs]})
        return
    write_line(line)
    if costs:
        write_table(cost_table(costs))


def _shape(loaded: onnx.ModelProto, path: Path) -> tuple[int, ...]:
    """Return the first input's shape without batch axis; open sizes are 0."""
    from nibblefit_tidl.qdq.structure import structure_of

    inputs = structure_of(loaded).inputs
    shape = tuple(d.dim_value for d in inputs[0].type.tensor_type.shape.dim[1:]) if inputs else ()
    if not shape or shape[0] < 1:
        raise InputError(f"{path} does not say how many channels its input has",
                         hint="export it with fixed sizes")  # fmt: skip
    return shape


def _made(loaded: onnx.ModelProto, path: Path, given: Preprocessing, mode: str,
          border: str) -> tuple[onnx.ModelProto, str, int]:  # fmt: skip
    """Return the new model, what to say about it, and the pixels that a pad layer adds."""
    from nibblefit.nn.onnx_export.entry import to_onnx
    from nibblefit.nn.onnx_import.entry import import_onnx
    from nibblefit_tidl.front.convert import with_converters
    from nibblefit_tidl.front.folding import Border, fold_front
    from nibblefit_tidl.front.preprocessing import broadcast
    from nibblefit_tidl.qdq.structure import DEQUANTIZE, QUANTIZE

    if mode == "convert":
        return with_converters(loaded, given), "the input is uint8; add_data_convert_ops = 3", 0
    if mode != "fold":
        raise RecipeError(f"--mode {mode} is unknown", hint="use fold or convert")
    if any(node.op_type in {QUANTIZE, DEQUANTIZE} for node in loaded.graph.node):
        raise UnsupportedError(
            f"{path} carries its own quantization, and mean and scale cannot be folded into "
            "weights that are integers",
            hint="use --mode convert, or fold into the float model and quantize that",
        )
    if border not in tuple(Border):
        raise RecipeError(f"--border {border} is unknown", hint=f"use {' or '.join(Border)}")
    folded = fold_front(import_onnx(path), given, Border(border))
    made = to_onnx(folded.graph)
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    padding = _padding(folded.graph) if folded.fold_pre_bn == 2 else 0
    line = (
        "the input is uint8, mean and scale are in the first layer; add_data_convert_ops = 3; "
        f"in an import file the same is foldPreBnConv2D = {folded.fold_pre_bn}"
    )
    return with_converters(made, broadcast([0.0], [1.0], given.channels)), line, padding


def _padding(graph: Graph) -> int:
    from nibblefit.ir.ops import Op

    pads = [node.attributes["pads"] for node in graph.nodes if node.op is Op.PAD]
    return max((max(entry) for entry in pads), default=0)


def _preprocessing(mean: str, scale: str, channels: int) -> Preprocessing:
    from nibblefit_tidl.front.preprocessing import broadcast

    return broadcast(_numbers("--mean", mean), _numbers("--scale", scale), channels)


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as problem:
        raise RecipeError(f"{option} {text} is no list of numbers",
                          hint="separate numbers by commas") from problem  # fmt: skip

"""From vendor files to the quantized graph: everything resolved, everything checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nibblefit.errors import InputError
from nibblefit.ir.graph import Shape
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit_maxim.hosting import add_host, host_from
from nibblefit_maxim.parts import Part
from nibblefit_maxim.reading.checkpoint import Checkpoint, LayerParameters, load_checkpoint
from nibblefit_maxim.reading.dataflow import check_dataflow
from nibblefit_maxim.reading.entries import read_entries
from nibblefit_maxim.reading.entry import NetworkEntry
from nibblefit_maxim.reading.part_limits import check_limits
from nibblefit_maxim.reading.placement import check_placement
from nibblefit_maxim.reading.problems import Problems
from nibblefit_maxim.reading.resolving import Resolver
from nibblefit_maxim.reading.streaming import check_streaming


def read_files(
    yaml_path: Path,
    checkpoint_path: Path,
    input_shape: Shape,
    part: Part,
    *,
    flags: Sequence[str] = (),
    fifo: bool = False,
    host: Mapping[str, Any] | None = None,
) -> QuantizedGraph:
    """Read a network YAML and its integer checkpoint into a graph.

    Args:
        yaml_path: The network YAML.
        checkpoint_path: The integer checkpoint.
        part: The device.
        input_shape: Shape of the sample input, (channels, *spatial).
        flags: Options of the compiler: ``--fifo``, ``--overlap-data``, ``--avg-pool-rounding``.
        fifo: Short for the first of them.
        host: What the host computes of the outputs, see `nibblefit_maxim.hosting.described_host`;
            None: the outputs as the layers write them.

    Raises:
        InputError: Every problem of the files, with file and line.
    """
    checkpoint = load_checkpoint(checkpoint_path)
    entry = read_entries(yaml_text(yaml_path), yaml_path.name, part)
    problems = Problems(yaml_path.name)
    check_arch(entry, checkpoint, problems)
    problems.raise_if_any()
    return build_network(
        entry, checkpoint.layers, input_shape, part, flags=flags, fifo=fifo, host=host
    )


def yaml_text(path: Path) -> str:
    """Return the text of a network YAML.

    Raises:
        InputError: The file is missing or no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}", hint="give the path of a network YAML"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path.name}: not UTF-8 text (byte {error.start})", hint="the file is damaged"
        ) from error


def check_arch(entry: NetworkEntry, checkpoint: Checkpoint, problems: Problems) -> None:
    """Record a checkpoint of another network, or one that does not say whose it is."""
    if not checkpoint.arch:
        problems.add(0, "checkpoint-unnamed", f"checkpoint {checkpoint.file} names no arch")
    elif entry.arch and checkpoint.arch.lower() != entry.arch.lower():
        problems.add(
            0,
            "checkpoint-arch",
            f"arch is '{entry.arch}', but the checkpoint's is '{checkpoint.arch}'",
        )


def build_network(
    entry: NetworkEntry,
    parameters: Sequence[LayerParameters],
    input_shape: Shape,
    part: Part,
    *,
    flags: Sequence[str] = (),
    fifo: bool = False,
    host: Mapping[str, Any] | None = None,
) -> QuantizedGraph:
    """Return the graph of parsed entries and parameters.

    Raises:
        InputError: Every problem of the network that can be told apart.
    """
    problems = Problems(entry.file)
    resolver = check_network(
        entry, parameters, input_shape, part, problems,
        fifo=fifo or "--fifo" in flags, overlap="--overlap-data" in flags,
        rounds_averages="--avg-pool-rounding" in flags,
    )  # fmt: skip
    problems.raise_if_any()
    marked = [layer.name for layer in entry.layers if layer.get("output")]
    outputs = list(dict.fromkeys([*marked, entry.layers[-1].name]))
    metadata: dict[str, Any] = {
        "part": part.name, "arch": entry.arch, "dataset": entry.dataset,
    }  # fmt: skip
    if host is not None:
        outputs = add_host(resolver.builder, *host_from(host))
        metadata["host"] = host
    return resolver.builder.finish(outputs, metadata)


def check_network(
    entry: NetworkEntry,
    parameters: Sequence[LayerParameters] | None,
    input_shape: Shape,
    part: Part,
    problems: Problems,
    *,
    fifo: bool = False,
    overlap: bool = False,
    rounds_averages: bool = False,
) -> Resolver:
    """Resolve a network as far as possible and record everything wrong with it.

    Args:
        entry: The file as written.
        parameters: Weights in the checkpoint's order; None takes channel counts from the maps.
        input_shape: Shape of the input, (channels, *spatial).
        part: The device.
        problems: Where findings go.
        fifo: Whether the compiler would be called with ``--fifo``.
        overlap: Whether it would be called with ``--overlap-data``.
        rounds_averages: Whether it would be called with ``--avg-pool-rounding``.
    """
    resolver = Resolver(
        entry, parameters, input_shape, part, problems, rounds_averages=rounds_averages
    )
    resolver.resolve()
    check_placement(entry, resolver.placed, part, problems)
    check_streaming(entry, resolver.placed, part, problems, fifo=fifo)
    check_limits(entry, resolver.placed, part, problems)
    check_dataflow(entry, resolver.placed, input_shape, part, problems, overlap=overlap)
    return resolver

"""What an importer said: its layers with their MACs, and what its terse lines mean.

Two layouts exist: a table with bars (the later classic importers and TIDL-RT's ``*_netLog.txt``)
and rows of fields separated by commas (the first releases). Source: TI's published importers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nibblefit.errors import InputError
from nibblefit.results import Finding, Status
from nibblefit_tidl.configuration.files import read_text

#: Numbers behind the name in a row of the old layout: group, inputs, outputs, eight input buffers,
#: output buffer, shapes of input and output, MACs.
_OLD_NUMBERS = 21
_COUNT = re.compile(r"Num(?:ber)? of Layers? Detected\s*:\s*(\d+)", re.IGNORECASE)
_TOTAL = re.compile(r"Total Giga Macs\s*:\s*([\d.]+)(?!.*fps)", re.IGNORECASE)
_OLD_HEAD = re.compile(r"\s*(\d+),\s*(TIDL_\w+)\s*,\s*(.*)$")
_NEW_COLUMNS = 11


@dataclass(frozen=True, slots=True)
class LoggedLayer:
    """One row of the table.

    Attributes:
        index: First column.
        kind: TIDL's name of the layer, such as ``TIDL_ConvolutionLayer``.
        name: Output tensor (TIDL-RT, later classic) or layer (first releases).
        group: Processor group.
        inputs: Data ids read.
        output: Data id written; -1 where the row has none.
        in_shape: Batch, channels, rows, columns; more axes in TIDL-RT.
        out_shape: The same of the output.
        macs: The importer's own count, which takes in pooling, batch norm, biases and FC.
    """

    index: int
    kind: str
    name: str
    group: int
    inputs: tuple[int, ...]
    output: int
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    macs: int


@dataclass(frozen=True, slots=True)
class ImportLog:
    """An importer's output, understood.

    Attributes:
        layers: Rows of the table.
        detected: Number that the importer says it found; None without that line.
        giga_macs: Its total; None without that line.
        findings: What went wrong, explained.
    """

    layers: tuple[LoggedLayer, ...]
    detected: int | None
    giga_macs: float | None
    findings: tuple[Finding, ...] = field(default=())

    @property
    def macs(self) -> int:
        """Sum over all rows."""
        return sum(layer.macs for layer in self.layers)


def read_import_log(path: Path) -> ImportLog:
    """Return the log in a file; errors as in `parse_import_log`."""
    return parse_import_log(read_text(path), path.name)


def parse_import_log(text: str, file: str = "import log") -> ImportLog:
    """Return what an importer's output says.

    Raises:
        InputError: It has neither a layer table nor a line that importers are known to print.
    """
    lines = text.splitlines()
    layers = tuple(_layers(lines))
    count = _COUNT.search(text)
    totals = [match for line in lines if (match := _TOTAL.search(line))]
    known = tuple(_known_lines(lines, file))
    if not (layers or count or totals or known):
        raise InputError(f"{file} is no import log: no layer table, no count of layers",
                         hint="give the importer's output, or TIDL's *_netLog.txt")  # fmt: skip
    detected = int(count[1]) if count else None
    total = float(totals[0][1]) if totals else None
    findings = (*_consistency(layers, detected, total, file), *known)
    return ImportLog(layers, detected, total, findings)


def _layers(lines: list[str]) -> Iterator[LoggedLayer]:
    for line in lines:
        layer = _new_row(line) if "|" in line else _old_row(line)
        if layer is not None:
            yield layer


def _new_row(line: str) -> LoggedLayer | None:
    cells = [cell.strip() for cell in line.strip().rstrip("|").split("|")]
    if len(cells) != _NEW_COLUMNS or not cells[0].isdigit() or not cells[-1].isdigit():
        return None
    shapes = [tuple(_integers(cell.split())) for cell in cells[8:10]]
    outputs = _integers(cells[7].split())
    return LoggedLayer(
        int(cells[0]), cells[1], cells[2], int(cells[3] or 0), tuple(_integers(cells[6].split())),
        outputs[0] if outputs else -1, shapes[0], shapes[1], int(cells[-1]),
    )  # fmt: skip


def _old_row(line: str) -> LoggedLayer | None:
    head = _OLD_HEAD.match(line)
    if head is None:
        return None
    # A name may hold commas; the numbers behind it are of a fixed count.
    cells = head[3].rstrip().rstrip(",").split(",")
    if len(cells) < _OLD_NUMBERS:
        return None
    first = len(cells) - _OLD_NUMBERS
    named = ",".join(cells[: first + 1])
    name, _, group = named.rstrip().rpartition(" ")
    values = [cell.strip() for cell in cells[first + 1 :]]
    outputs = _integers(values[10:11])
    shapes = _integers(values[11:19])
    if not group.isdigit() or len(shapes) != 8 or not values[-1].isdigit():
        return None
    return LoggedLayer(
        int(head[1]), head[2], name.strip(), int(group), tuple(_integers(values[2:10])),
        outputs[0] if outputs else -1, tuple(shapes[:4]), tuple(shapes[4:]), int(values[-1]),
    )  # fmt: skip


def _integers(words: list[str]) -> list[int]:
    return [int(word) for word in words if word.lstrip("-").isdigit()]


def _consistency(layers: tuple[LoggedLayer, ...], detected: int | None, total: float | None,
                 file: str) -> Iterator[Finding]:  # fmt: skip
    computing = [layer for layer in layers if layer.kind != "TIDL_DataLayer"]
    if detected == 0 or (layers and not computing) or (total == 0.0 and not computing):
        yield Finding(
            "tidl.log.empty", Status.FAILED, "the importer found no layer to compute: it did not "
            "recognize the file's format or its operators; the network is not empty", file,
            "check modelType against the file (0 Caffe, 2 ONNX), that the file is the deploy "
            "network and not a solver or a checkpoint, its opset, and its operators with "
            "`nibblefit inspect`",
        )  # fmt: skip
    if total is not None and layers and abs(total - sum(e.macs for e in layers) / 1e9) > 6e-5:
        yield Finding(
            "tidl.log.total", Status.WARNING, f"the rows add up to "
            f"{sum(e.macs for e in layers) / 1e9:.4f} giga MACs, the total says {total:.4f}", file,
            "the log may be cut or mixed from two runs",
        )  # fmt: skip
    for layer in layers:
        if "unsup" in layer.kind.lower():
            yield Finding(
                "tidl.log.unsupported", Status.FAILED, f"layer {layer.index} '{layer.name}' is of "
                "a kind that TIDL lacks", file, "`nibblefit inspect` names the operator and a "
                "rewrite",
            )  # fmt: skip


#: Text in a line → status, what it means, what to do.
_MEANINGS: tuple[tuple[str, Status, str, str], ...] = (
    ("could not find the requested input data", Status.FAILED,
     ("a layer reads a tensor that no layer before it makes: its producer was not recognized, or "
     "the names in the two files differ"),
     "look at the layer named in that line; export again with shapes inferred"),
    ("setting rand kernel params", Status.FAILED,
     ("the importer found no weights for a layer and took random ones: its name in the network and "
     "in the weights differ"),
     "use the prototxt the caffemodel was trained with; `nibblefit` refuses such a pair"),
    ("by-passed", Status.FAILED,
     "an operator was left out as if it were not there, so results are wrong",
     "replace the operator; `nibblefit inspect` names it with a rewrite"),
    ("bypassed", Status.FAILED,
     "an operator was left out as if it were not there, so results are wrong",
     "replace the operator; `nibblefit inspect` names it with a rewrite"),
    ("dim error", Status.FAILED, "a shape is not known to the importer",
     "export with a fixed batch and run shape inference over the file"),
    ("dim is -1", Status.FAILED, "a shape is not known to the importer",
     "export with a fixed batch and run shape inference over the file"),
    ("bad node spec", Status.FAILED,
     ("the runtime does not know that form of the operator, such as DequantizeLinear with one "
     "scale per channel on TDA4VM or an old release"),
     "use quantization_scale_type 1 there, or newer tools"),
    ("not supported", Status.WARNING, "the importer says that something is not supported",
     "`nibblefit inspect` names the operator with a rewrite"),
)  # fmt: skip


def _known_lines(lines: list[str], file: str) -> Iterator[Finding]:
    for number, line in enumerate(lines, 1):
        lower = line.lower()
        for words, status, meaning, remedy in _MEANINGS:
            if words in lower:
                yield Finding("tidl.log.line", status, f"'{line.strip()[:100]}': {meaning}",
                              f"{file}:{number}", remedy)  # fmt: skip
                break

"""Which forms of a network are written for the current tools, each with its settings.

A form is made by one function of `MAKERS`; the folder's writer takes whatever they return.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit_tidl.configuration.importer_model import RtImport
from nibblefit_tidl.configuration.provider_model import ProviderOptions
from nibblefit_tidl.current.modes import Mode
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.writing.float_onnx import fixed_onnx, onnx_bytes
from nibblefit_tidl.writing.front_files import FrontFiles
from nibblefit_tidl.writing.importer_settings import float_import, qdq_import
from nibblefit_tidl.writing.provider_settings import float_options, qdq_options


@dataclass(frozen=True, slots=True)
class Making:
    """What a form is made from.

    Attributes:
        network: The folded float graph, with its front inside if it has one there.
        graph: The integer graph made of it.
        mode: The quantization.
        options: Options of the target.
        frames: Number of calibration frames in the folder.
        front: What the files say about input and output.
    """

    network: Graph
    graph: QuantizedGraph
    mode: Mode
    options: TidlOptions
    frames: int
    front: FrontFiles = field(default_factory=FrontFiles)


@dataclass(frozen=True, slots=True)
class WrittenModel:
    """One form of the network.

    Attributes:
        name: Stem of its files and role of its ONNX file.
        title: What it is and when to take it, one sentence.
        content: The ONNX file.
        imported: The ONNX file for the stand-alone importer, where that normalizes by itself.
        provider: Options for ONNX Runtime's TIDL provider.
        importer: Configuration of the stand-alone importer, None where that cannot express it.
        notes: What to mind, one sentence each.
    """

    name: str
    title: str
    content: bytes
    provider: ProviderOptions
    importer: RtImport | None
    notes: tuple[str, ...] = field(default=())
    imported: bytes | None = None


@dataclass(frozen=True, slots=True)
class NotWritten:
    """A form that this network does not have, and why."""

    name: str
    reason: str


Maker = Callable[[Making], WrittenModel | NotWritten]


def float_model(making: Making) -> WrittenModel:
    """Return the float form, which TI's tools calibrate themselves."""
    notes = []
    if making.mode.scale_type in (3, 4):
        notes.append(
            "The stand-alone importer has no asymmetric quantization: its configuration asks for "
            "symmetric scales, whose accuracy is another than the one that was evaluated. Use the "
            "provider, or the QDQ form."
        )
    if making.options.qat:
        notes.append(
            "The network was trained with quantization in the loop; this form leaves the trained "
            "ranges behind and is calibrated anew. Take the QDQ form, which carries them."
        )
    parts = (making.network, making.graph, making.mode, making.options, making.frames)
    trained = making.front.trained
    return WrittenModel(
        "float", "float network, calibrated by TI's tools on the frames of this folder",
        onnx_bytes(making.front.converted(fixed_onnx(making.network))),
        making.front.provider(float_options(*parts)),
        making.front.importer(float_import(*parts), making.mode),
        tuple(notes), onnx_bytes(fixed_onnx(trained)) if trained is not None else None,
    )  # fmt: skip


def qdq_model(making: Making) -> WrittenModel | NotWritten:
    """Return the form that carries our quantization, so that nothing is calibrated again."""
    from nibblefit_tidl.qdq.writing import to_qdq

    try:
        model = to_qdq(making.graph)
    except UnsupportedError as error:
        return NotWritten("qdq", error.what)
    return WrittenModel(
        "qdq", "quantized network (QDQ) with the integers that were evaluated; TIDL 9.1 or newer",
        onnx_bytes(making.front.converted(model)), making.front.provider(qdq_options(making.mode)),
        making.front.converted_import(qdq_import(making.network, making.mode, making.frames)),
    )  # fmt: skip


#: In the order of the README; the first one is always written.
MAKERS: tuple[Maker, ...] = (float_model, qdq_model)

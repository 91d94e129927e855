"""The stages prepare and quantize."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nibblefit.defaults.prepare import prepare as core_prepare
from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.run import Run
from nibblefit_vitis.finetune import FinetuneSettings, fast_finetune, layer_count
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.numerics import DPU_NUMERICS
from nibblefit_vitis.options import VitisOptions
from nibblefit_vitis.preparation.constants import is_standard_gate
from nibblefit_vitis.qat.keeping import formats_of
from nibblefit_vitis.qat.places import folded_graph, places
from nibblefit_vitis.quantize.configured import setting_of
from nibblefit_vitis.quantize.pipeline import (
    Quantized,
    Samples,
    finished,
    quantize_network,
)
from nibblefit_vitis.quantize.samples import batches_of, sample_count
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.simulation.effective import has_device_constants


def prepare_model(run: Run, graph: Graph) -> Model:
    """Check configuration and network; change nothing.

    Raises:
        InputError: The configuration has problems.
        UnsupportedError: Names every layer without an integer form, with reason and remedy.
        RecipeError: ``[prune.layers]`` names a layer that is not there.
    """
    options: VitisOptions = run.options
    setting, _ = setting_of(run.recipe, options, graph)
    if len(graph.inputs) != 1:
        raise UnsupportedError(
            f"network '{graph.name}' has {len(graph.inputs)} inputs; calibration takes one",
            hint="join the inputs into one tensor and split it inside the network",
        )
    if has_device_constants(setting):
        _refuse_other_gates(graph)
    if options.qat:
        places(folded_graph(graph, setting), setting)  # refuses formats that cannot be trained
    return core_prepare(run, graph, DPU_NUMERICS)


def quantize_model(run: Run, model: Model) -> QuantizedGraph:
    """Return the integers of a model; what quantized training learned is kept."""
    options: VitisOptions = run.options
    setting, notes = setting_of(run.recipe, options, model.graph)
    metadata = {"class_names": list(run.data.class_names), "part": run.part}
    trained = formats_of(model, setting, direction=options.alignment)
    if trained is not None:
        result = finished(folded_graph(model.graph, setting), trained, setting, metadata=metadata)
    else:
        result = _calibrated(run, model, setting, metadata)
    for note in (*notes, *result.notes):
        run.reporter.warn(note)
    for change in result.changes:
        run.reporter.say(f"aligned: {change}")
    return result.graph


def _calibrated(run: Run, model: Model, setting: NetworkSetting,
                metadata: Mapping[str, Any]) -> Quantized:  # fmt: skip
    options: VitisOptions = run.options

    def finetune(
        graph: Graph, reference: Graph, formats: NetworkFormats, wide: NetworkSetting,
        samples: Samples,
    ) -> tuple[Graph, tuple[str, ...]]:  # fmt: skip
        with run.reporter.progress("finetuning", layer_count(graph)) as bar:
            return fast_finetune(
                graph, formats, wide, samples(), reference=reference, bar=bar, folder=run.scratch,
                settings=FinetuneSettings(epochs=options.finetune_epochs),
            )  # fmt: skip

    with run.reporter.progress("calibrating", sample_count(run)) as bar:
        return quantize_network(
            model.graph, setting, lambda: batches_of(run, model, setting),
            direction=options.alignment,
            finetune=finetune if options.fast_finetune else None, metadata=metadata,
            on_batch=bar.advance,
        )  # fmt: skip


def _refuse_other_gates(graph: Graph) -> None:
    """Refuse hard sigmoids with a slope of their own."""
    wrong = [node.name for node in graph.nodes
             if node.op is Op.HARD_SIGMOID and not is_standard_gate(node.attributes)]  # fmt: skip
    if wrong:
        raise UnsupportedError(
            f"the DPU's hard sigmoid is clip(x / 6 + 1/2, 0, 1); layers {', '.join(wrong)} "
            "compute another one",
            hint="use torch.nn.Hardsigmoid",
        )

"""The built-in target `generic`: int8 with shifts or float scales, post-training, ONNX out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nibblefit.hooks import API, TargetInfo, hookimpl
from nibblefit.quantization.layer_options import LayerOptions
from nibblefit.targets.generic_options import GenericOptions, numerics_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nibblefit.ir.graph import Graph
    from nibblefit.ir.quantized import QuantizedGraph
    from nibblefit.models import Model
    from nibblefit.quantization.qdq.reading import Meaning
    from nibblefit.recipe import Recipe
    from nibblefit.results import Artifact, Report
    from nibblefit.run import Run

#: Main file of the artifact.
MODEL_FILE = "model.onnx"
#: Entry of the file's metadata.
OPTIONS_KEY = "nibblefit.options"


class Generic:
    """A target without a chip: the hooks at their simplest.

    Only numerics, compile and read-back are its own; core does the rest.
    """

    info = TargetInfo(
        name="generic",
        summary="int8 with power-of-two or float scales, written as QDQ ONNX",
        api=API,
        numerics=numerics_of(GenericOptions()),
        options=GenericOptions,
        manual="docs/targets/generic.md",
        layer_options=LayerOptions,
    )

    @hookimpl
    def prepare(self, run: Run, graph: Graph) -> Model:
        from nibblefit.defaults.prepare import prepare

        return prepare(run, graph, numerics_of(run.options))

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        from dataclasses import replace

        from nibblefit.defaults.quantize import quantize
        from nibblefit.quantization.qdq.topology import representable, with_topology

        network = representable(model.graph)
        graph = quantize(run, replace(model, graph=network), numerics_of(run.options))
        return with_topology(graph, network)

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        from nibblefit.defaults.compiling import artifact_of, compile_graph
        from nibblefit.quantization.qdq.writing import qdq_model

        compile_graph(run, graph)
        options: GenericOptions = run.options
        properties = {OPTIONS_KEY: options.model_dump_json()}
        model = qdq_model(graph, numerics_of(options), properties)
        (run.folder / MODEL_FILE).write_bytes(model.SerializeToString(deterministic=True))
        return artifact_of(run, graph)

    @hookimpl
    def read_back(self, run: Run, artifact: Artifact) -> QuantizedGraph:
        from nibblefit.quantization.qdq.reading import read_qdq

        (path,) = (file.path for file in artifact.files if file.role == "onnx")
        return read_qdq(run.folder / path, self.info.name, meaning_of)

    @hookimpl
    def inspect(self, graph: Graph, part: str, recipe: Recipe | None) -> Report:
        from nibblefit.defaults.inspect import inspect

        extra = (recipe.target.model_extra or {}) if recipe is not None else {}
        return inspect(graph, part, recipe, numerics_of(GenericOptions(**extra)))


def meaning_of(properties: Mapping[str, str]) -> Meaning:
    """Return what the metadata of a file of this target says about its integers."""
    from nibblefit.quantization.qdq.reading import Meaning

    options = GenericOptions.model_validate_json(properties[OPTIONS_KEY])
    return Meaning(numerics_of(options), options.scales == "power_of_two")


TARGET = Generic()

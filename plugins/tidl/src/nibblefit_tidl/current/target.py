"""The target object of the current generation. Heavy imports wait for their hook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nibblefit.hooks import ApiVersion, TargetInfo, hookimpl
from nibblefit.ir.graph import frozen_mapping
from nibblefit_tidl.current.advice import UNREAD
from nibblefit_tidl.current.modes import mode_of
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.devices import DEVICES, TDA4VM

if TYPE_CHECKING:
    import typer
    from torch import nn

    from nibblefit.hooks import DataReader, ModelFormat, RefusedFormat
    from nibblefit.ir.graph import Graph
    from nibblefit.ir.quantized import QuantizedGraph
    from nibblefit.models import Model
    from nibblefit.plan import Plan
    from nibblefit.recipe import Recipe
    from nibblefit.results import Artifact, Finding, Report
    from nibblefit.run import Run
    from nibblefit.training.parts import TrainingPart


class Tidl:
    """C7x DSPs with matrix accelerator: calibrated offline, or trained quantized."""

    info = TargetInfo(
        name="tidl",
        summary="TDA4VM, AM68A, AM69A, AM67A, AM62A (C7x-MMA): calibrated or trained in 8/16 bits",
        api=ApiVersion(1, 2),
        numerics=mode_of(TDA4VM, TidlOptions()).numerics,
        options=TidlOptions,
        parts=tuple(DEVICES),
        manual="docs/targets/tidl.md",
        unread=UNREAD,
        part_numerics=frozen_mapping(
            {name: mode_of(device, TidlOptions()).numerics for name, device in DEVICES.items()}
        ),
    )

    @hookimpl
    def model_formats(self) -> Sequence[ModelFormat | RefusedFormat]:
        """Read Caffe networks; refuse TensorFlow, Keras and TFLite with the conversion."""
        from nibblefit_tidl.caffe.formats import MODEL_FORMATS

        return MODEL_FORMATS

    @hookimpl
    def data_readers(self) -> Sequence[DataReader]:
        """Read LMDB databases of Caffe datums."""
        from nibblefit_tidl.lmdb_sets.reading import LMDB_READER

        return (LMDB_READER,)

    @hookimpl
    def plan(self, recipe: Recipe) -> Plan:
        """Return prepare, float training, QAT if asked for, quantize, evaluate, compile."""
        from nibblefit_tidl.plan import plan_for

        options = options_of(recipe)
        return plan_for(recipe, options, qat=options.qat, integers=options.tensor_bits != 32)

    @hookimpl
    def prepare(self, run: Run, graph: Graph) -> Model:
        """Refuse layers the device lacks; settings were checked with the recipe."""
        from nibblefit_tidl.caffe.rates import with_file_rates
        from nibblefit_tidl.devices import device_named
        from nibblefit_tidl.inspection.settings import current_setting, prepare

        prepared = prepare(run, graph, current_setting(device_named(run.part), run.options))
        return with_file_rates(prepared, run.recipe)

    @hookimpl
    def inspect(self, graph: Graph, part: str, recipe: Recipe | None) -> Report:
        """Return what every layer would run as, or why not."""
        from nibblefit_tidl.inspection.reports import inspect_current

        return inspect_current(graph, part, recipe, options_of(recipe))

    @hookimpl
    def recipe_problems(self, recipe: Recipe) -> Sequence[Finding]:
        """Return what the device does not have, and advice on quantized training."""
        from nibblefit_tidl.current.advice import recipe_findings

        return recipe_findings(recipe, options_of(recipe))

    @hookimpl
    def network(self, run: Run, model: Model) -> nn.Module:
        """Return the float network, or in phase ``qat`` one with quantization in the loop."""
        from nibblefit_tidl.current.qat.phase import network_of

        return network_of(run, model)

    @hookimpl
    def train(self, run: Run, model: Model) -> Model:
        """Train; after quantized training the ranges it used stay with the model."""
        from nibblefit_tidl.current.qat.phase import train_model
        from nibblefit_tidl.sparsity.outcome import train_stage

        return train_stage(run, model, train_model)

    @hookimpl
    def evaluate(self, run: Run, subject: Model | QuantizedGraph | Artifact) -> Report:
        """Measure; a sparse model's zeros three ways."""
        from nibblefit_tidl.measuring import evaluate

        return evaluate(run, subject)

    @hookimpl
    def regularize(self, run: Run, model: Model) -> Sequence[TrainingPart]:
        """Add what the stage in hand asks for: L2, L1, thresholds, ranges frozen on schedule."""
        from nibblefit_tidl.caffe.rates import with_rates
        from nibblefit_tidl.current.qat.phase import part_of
        from nibblefit_tidl.sparsity.regularizing import parts_for

        quantized = part_of(run, model)
        parts = (*parts_for(run, model, run.options), *([quantized] if quantized else []))
        return with_rates(parts, model)

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        """Calibrate and choose codes by the importer's rules."""
        from nibblefit_tidl.current.quantize import quantize_model

        return quantize_model(run, model)

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        """Write models as ONNX, options, configurations, frames, script and README."""
        from nibblefit_tidl.writing.current_files import write_current

        return write_current(run, graph)

    @hookimpl
    def read_back(self, run: Run, artifact: Artifact) -> QuantizedGraph:
        """Read the quantized model, or the integers where there is none."""
        from nibblefit_tidl.writing.current_files import read_current_back

        return read_current_back(run, artifact)

    @hookimpl
    def add_commands(self, app: typer.Typer) -> None:
        """Register ``nibblefit tidl …``."""
        from nibblefit_tidl.commands import add_commands

        add_commands(app)


def options_of(recipe: Recipe | None) -> TidlOptions:
    """Return the options of a recipe, the defaults without one."""
    return TidlOptions(**((recipe.target.model_extra or {}) if recipe is not None else {}))


TARGET = Tidl()

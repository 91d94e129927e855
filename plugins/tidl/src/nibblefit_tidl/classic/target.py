"""The target object of the classic generation. Heavy imports wait for their hook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nibblefit.hooks import ApiVersion, TargetInfo, hookimpl
from nibblefit_tidl.classic.advice import UNREAD
from nibblefit_tidl.classic.numerics import numerics_of
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.devices import CLASSIC_DEVICES

if TYPE_CHECKING:
    from nibblefit.hooks import DataReader, ModelFormat, RefusedFormat
    from nibblefit.ir.graph import Graph
    from nibblefit.ir.quantized import QuantizedGraph
    from nibblefit.models import Model
    from nibblefit.plan import Plan
    from nibblefit.recipe import Recipe
    from nibblefit.results import Artifact, Finding, Report
    from nibblefit.run import Run
    from nibblefit.training.parts import TrainingPart


class TidlClassic:
    """EVE vector cores and C66x DSPs: offset weights, shifts chosen frame by frame."""

    info = TargetInfo(
        name="tidl-classic",
        summary="AM57xx, TDA2x, TDA3x (EVE and C66x): sparse training, shifts chosen per frame",
        api=ApiVersion(1, 2),
        numerics=numerics_of(ClassicOptions()),
        options=ClassicOptions,
        parts=tuple(CLASSIC_DEVICES),
        manual="docs/targets/tidl-classic.md",
        unread=UNREAD,
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
        """Return the three training stages, quantize, evaluate, compile, with the gates."""
        from nibblefit_tidl.plan import plan_for

        return plan_for(recipe, options_of(recipe))

    @hookimpl
    def prepare(self, run: Run, graph: Graph) -> Model:
        """Refuse layers the generation lacks; say constant operands as the layers they become."""
        from nibblefit_tidl.caffe.rates import with_file_rates
        from nibblefit_tidl.classic.constant_operands import as_scale_layers
        from nibblefit_tidl.devices import classic_device_named
        from nibblefit_tidl.inspection.settings import classic_setting, prepare

        setting = classic_setting(classic_device_named(run.part))
        return with_file_rates(prepare(run, as_scale_layers(graph), setting), run.recipe)

    @hookimpl
    def inspect(self, graph: Graph, part: str, recipe: Recipe | None) -> Report:
        """Return what every layer would run as, or why not."""
        from nibblefit_tidl.classic.constant_operands import as_scale_layers
        from nibblefit_tidl.inspection.reports import inspect_classic

        return inspect_classic(as_scale_layers(graph), part, recipe, options_of(recipe))

    @hookimpl
    def train(self, run: Run, model: Model) -> Model:
        """Train; the sparse stage says what it reached."""
        from nibblefit.defaults.train import train
        from nibblefit_tidl.sparsity.outcome import train_stage

        return train_stage(run, model, train)

    @hookimpl
    def evaluate(self, run: Run, subject: Model | QuantizedGraph | Artifact) -> Report:
        """Measure; a model's zeros three ways, and the latency that they leave."""
        from nibblefit_tidl.inspection.latency import with_latency
        from nibblefit_tidl.measuring import evaluate

        return with_latency(evaluate(run, subject), subject, run.part, run.options)

    @hookimpl
    def recipe_problems(self, recipe: Recipe) -> Sequence[Finding]:
        """Return settings that nothing reads."""
        from nibblefit_tidl.classic.advice import recipe_findings

        return recipe_findings(recipe, options_of(recipe))

    @hookimpl
    def regularize(self, run: Run, model: Model) -> Sequence[TrainingPart]:
        """Add what the training stage in hand asks for: L2, L1, thresholds."""
        from nibblefit_tidl.caffe.rates import with_rates
        from nibblefit_tidl.sparsity.regularizing import parts_for

        return with_rates(parts_for(run, model, run.options), model)

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        """Choose codes by the importer's formulas, with shifts left to the frames."""
        from nibblefit_tidl.classic.quantize import quantize_model

        return quantize_model(run, model)

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        """Write Caffe network, import configuration, frames and README."""
        from nibblefit_tidl.writing.classic_files import write_classic

        return write_classic(run, graph)

    @hookimpl
    def read_back(self, run: Run, artifact: Artifact) -> QuantizedGraph:
        """Read network, configuration and ranges into integers."""
        from nibblefit_tidl.writing.classic_read_back import read_classic_back

        return read_classic_back(run, artifact)


def options_of(recipe: Recipe | None) -> ClassicOptions:
    """Return the options of a recipe, the defaults without one."""
    return ClassicOptions(**((recipe.target.model_extra or {}) if recipe is not None else {}))


TARGET = TidlClassic()

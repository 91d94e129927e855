"""The quantize stage: ranges from real samples or from training itself."""

from __future__ import annotations

from nibblefit.defaults.quantize import calibration_batches, calibration_count
from nibblefit.errors import InputError
from nibblefit.fixed.formats import Format
from nibblefit.ir.graph import Graph
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.quantization.assign import calibrated_tensors
from nibblefit.quantization.build import quantize_graph
from nibblefit.quantization.calibrate import Batches, observe
from nibblefit.quantization.histogram import Histogram
from nibblefit.quantization.qdq.topology import representable, with_topology
from nibblefit.quantization.settings import Settings, check_layers, settings
from nibblefit.quantization.units import units
from nibblefit.run import Run
from nibblefit_tao.calibration.formats import calibrated_formats
from nibblefit_tao.numerics import LEVELS, numerics_of
from nibblefit_tao.options import TaoOptions
from nibblefit_tao.qat.deployed import stated_formats
from nibblefit_tao.qat.ranges import ranges_of


def quantize_model(run: Run, model: Model) -> QuantizedGraph:
    """Return the integer graph, with the float operators it was made from in its metadata.

    A network that was trained quantized keeps the ranges it was trained with and sees no data.

    Raises:
        InputError: There is nothing to calibrate on.
        RecipeError: A per-layer setting names no layer, or has an unknown key.
        UnsupportedError: A width or an operator is beyond the target.
    """
    options: TaoOptions = run.options
    numerics = numerics_of(per_channel=options.per_channel)
    recipe = run.recipe.quantize
    chosen = settings(recipe.method, recipe.percentile, recipe.layers)
    network = representable(model.graph)
    check_layers(chosen, network)
    trained = {name: most / LEVELS for name, most in ranges_of(model).items()}
    histograms: dict[str, Histogram] = {}
    stated = stated_formats(trained)
    if not trained:
        histograms, stated = _calibrated(run, model, network, numerics, chosen)
    method = "qat" if trained else recipe.method
    facts = {"class_names": list(run.data.class_names), "method": method}
    graph = quantize_graph(network, numerics, histograms, chosen, target=run.recipe.target.name,
                           metadata=facts, stated=stated)  # fmt: skip
    return with_topology(graph, network)


def _calibrated(run: Run, model: Model, network: Graph, numerics: Numerics,
                chosen: Settings) -> tuple[dict[str, Histogram], dict[str, Format]]:  # fmt: skip
    """Return histograms of all activations, and the formats that TensorRT's methods give."""
    count = calibration_count(run)
    if count == 0:
        raise InputError("there is nothing to calibrate on: the training split is empty",
                         hint="check [data]; ranges of noise would be of no use")  # fmt: skip

    def batches() -> Batches:
        return calibration_batches(run, model, count)

    tensors = calibrated_tensors(network, units(network, numerics))
    with run.reporter.progress("calibrating", count) as bar:
        histograms = observe(network, batches(), tensors, on_batch=bar.advance)
    return histograms, calibrated_formats(network, numerics, histograms, chosen, batches)

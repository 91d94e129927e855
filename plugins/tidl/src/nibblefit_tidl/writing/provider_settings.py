"""Options for the TIDL provider that amount to how a network was quantized here."""

from __future__ import annotations

from typing import Any

from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.units import units
from nibblefit_tidl.configuration.provider_model import ADVANCED, ProviderOptions
from nibblefit_tidl.current.modes import LEVEL_FLAGS, Mode
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.current.precision import CHANGERS

#: Conversion of both ends on the accelerator; ARM would take longer for it.
BOTH_ENDS = 3


def float_options(network: Graph, graph: QuantizedGraph, mode: Mode, options: TidlOptions,
                  frames: int) -> ProviderOptions:  # fmt: skip
    """Return the options under which the provider calibrates as we did."""
    advanced: dict[str, Any] = {
        "quantization_scale_type": mode.scale_type,
        "calibration_frames": max(1, min(options.calibration_frames, frames)),
        "calibration_iterations": max(1, options.calibration_iterations),
        "add_data_convert_ops": 0 if mode.scale_type == 3 else BOTH_ENDS,
    }
    level = _level(options)
    if level == 9:
        advanced |= _single_options(mode, options)
    outputs, params = wide_names(network, graph, mode)
    if outputs:
        advanced["output_feature_16bit_names_list"] = ",".join(outputs)
    if params:
        advanced["params_16bit_names_list"] = ",".join(params)
    if options.high_resolution_optimization:
        advanced["high_resolution_optimization"] = 1
    return _options({"tensor_bits": mode.bits, "accuracy_level": level}, advanced)


def qdq_options(mode: Mode) -> ProviderOptions:
    """Return the options under which the provider takes a network's own quantization."""
    general = {"tensor_bits": mode.bits, "accuracy_level": 0}
    return _options(general, {
        "prequantized_model": 1,
        "quantization_scale_type": mode.scale_type,
        "add_data_convert_ops": 0 if mode.scale_type == 3 else BOTH_ENDS,
    })  # fmt: skip


def wide_names(
    network: Graph, graph: QuantizedGraph, mode: Mode
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the tensors with 16 bits, and those whose layers have 16-bit weights alone.

    Only layers that may change width are named; TIDL hands the width on to the others itself.
    """
    wide = set(graph.metadata.get("tensors_16bit", ()))
    weights = set(graph.metadata.get("weights_16bit", ()))
    if mode.bits != 8 or not (wide or weights):
        return (), ()
    parts = units(network, mode.numerics)
    outputs = [unit.tensors[0] for unit in parts
               if wide & set(unit.tensors) and unit.node.op in CHANGERS]  # fmt: skip
    params = [unit.tensors[0] for unit in parts
              if unit.node.name in weights and not wide & set(unit.tensors)]  # fmt: skip
    return tuple(outputs), tuple(params)


def _level(options: TidlOptions) -> int:
    """Return accuracy_level; trained ranges are not in a float file, so it is calibrated."""
    level = options.accuracy_level or 1
    # The provider takes no 0 iterations: without bias calibration every option is given singly.
    return 9 if options.calibration_iterations == 0 else level


def _single_options(mode: Mode, options: TidlOptions) -> dict[str, int]:
    chosen = options.accuracy_level or 1
    clips = options.activation_clipping if chosen == 9 else bool(LEVEL_FLAGS[chosen] & 1)
    weights = options.weight_clipping if chosen == 9 else True
    biases = options.bias_calibration if chosen == 9 else True
    found = {
        "activation_clipping": int(clips),
        "weight_clipping": int(weights),
        "bias_calibration": int(biases and options.calibration_iterations > 0),
    }
    if chosen == 9 and mode.scale_type != 4:
        found["channel_wise_quantization"] = int(options.channel_wise_quantization)
    return found


def _options(general: dict[str, Any], advanced: dict[str, Any]) -> ProviderOptions:
    named = {f"{ADVANCED}{key}": value for key, value in advanced.items()}
    return ProviderOptions.model_validate({**general, **named})

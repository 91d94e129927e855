"""The import configuration that goes with a classic network."""

from __future__ import annotations

from collections.abc import Sequence

from nibblefit.errors import RecipeError
from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit_tidl.classic.kernels import KERNEL_TYPES, KernelChoice
from nibblefit_tidl.classic.merging import merged_layers
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.configuration.classic import ClassicImport
from nibblefit_tidl.devices import ClassicDevice
from nibblefit_tidl.latency.placement import DATA, DSP, EVE, placement

NETWORK, WEIGHTS, CONFIG, SAMPLES = "net.prototxt", "net.caffemodel", "import.txt", "frames.y"
#: What the importer writes, and the vendor's program that it starts.
OUT_NETWORK, OUT_WEIGHTS = "tidl_net.bin", "tidl_params.bin"
STATS_TOOL = "eve_test_dl_algo_ref.out"
#: The importer's scale of an input whose codes are the values. Source: default of inQuantFactor
#: for Caffe; TensorFlow's, where 128 codes are a unit, is 128 times that.
_FACTOR = 255.0


def classic_config(
    network: Graph, graph: QuantizedGraph, options: ClassicOptions, frames: int,
    kernels: Sequence[KernelChoice], *, groups: Sequence[int] = (),
) -> ClassicImport:  # fmt: skip
    """Return the configuration.

    Args:
        network: The folded float graph that is written as Caffe.
        graph: The integer graph; its input decides element type and scale.
        options: Options of the target.
        frames: Number of calibration frames in the raw sample file.
        kernels: Kernel of every convolution.
        groups: Processor of every row of the importer's table; empty leaves the key out.
    """
    form = graph.tensors[graph.inputs[0]].format
    channels, *spatial = network.shapes[network.inputs[0]]
    rows, columns = [1, 1, *spatial][-2:]
    return ClassicImport(
        model_type=0,
        quantization_style=1,
        quant_round_add=options.round_add,
        num_param_bits=options.parameter_bits,
        conv2d_kernel_type=_kernel_types(network, kernels),
        **({"layers_group_id": tuple(groups)} if groups else {}),
        in_element_type=int(form.signed),
        in_quant_factor=max(1, round(_FACTOR / float(form.scale.values()[0]))),
        raw_sample_in_data=1,
        num_sample_in_data=frames,
        fold_bn_in_conv2d=1,
        in_width=columns,
        in_height=rows,
        in_num_channels=channels,
        sample_in_data=SAMPLES,
        tidl_stats_tool=STATS_TOOL,
        input_net_file=NETWORK,
        input_params_file=WEIGHTS,
        output_net_file=OUT_NETWORK,
        output_params_file=OUT_WEIGHTS,
    )


def group_ids(network: Graph, device: ClassicDevice, options: ClassicOptions) -> tuple[int, ...]:
    """Return layersGroupId: the processor of every row of the importer's table.

    Raises:
        RecipeError: The device does not have the core that the options ask for.
    """
    cores = {"eve": (EVE, device.eves), "dsp": (DSP, device.dsps)}
    if options.cores == "best":
        return placement(network, device, options.kernel).group_ids
    core, count = cores[options.cores]
    if not count:
        raise RecipeError(f"{device.name} has no {options.cores.upper()}",
                          hint='set target.cores = "best"')  # fmt: skip
    inner = (core,) * len(merged_layers(network))
    return (*(DATA,) * len(network.inputs), *inner, *(DATA,) * len(network.outputs))


def _kernel_types(network: Graph, kernels: Sequence[KernelChoice]) -> tuple[int, ...]:
    """Return one value where all layers agree, else one per layer, data layers at both ends."""
    asked = {choice.layer: KERNEL_TYPES[choice.asked] for choice in kernels}
    if len(set(asked.values())) == 1:
        return (next(iter(asked.values())),)
    if not asked:
        return ()
    automatic = KERNEL_TYPES["auto"]
    inner = (asked.get(layer.name, automatic) for layer in merged_layers(network))
    return (automatic, *inner, automatic)

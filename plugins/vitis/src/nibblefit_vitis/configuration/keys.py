"""Keys of the configuration file: what each accepts, and what it means.

Source of keys, values and defaults: pytorch_nndct 3.5 (Vitis-AI b2b2279), its configuration
parser, and runs of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from nibblefit_vitis.settings import Kind, Method, RoundMode, Statistic

#: Blocks of the file.
OVERALL, TENSORS, LAYERS = (
    "overall_quantize_config",
    "tensor_quantize_config",
    "layer_quantize_config",
)
KINDS_KEY = "quantizable_data_type"

#: Order in which the original looks at kinds.
KINDS = (Kind.INPUT, Kind.WEIGHTS, Kind.BIAS, Kind.ACTIVATION)
#: Kinds whose scales come from data.
MEASURED = (Kind.INPUT, Kind.ACTIVATION)

#: Spelling of blog posts → the file's.
SCALE_TYPE_ALIAS = "power_of_two"

#: Global switches, in the order of the sheet.
SWITCHES = (
    "convert_relu6_to_relu", "convert_silu_to_hswish", "include_cle", "include_bias_corr",
    "keep_first_last_layer_accuracy", "keep_add_layer_accuracy", "change_concat_input_fix",
    "change_pool_input_fix",
)  # fmt: skip
#: Switches of quantization blocks.
FLAGS = ("symmetry", "per_channel", "signed", "narrow_range")

_WORDS = ", ".join
_FLAG = "true or false"

#: Key → values that it takes.
ACCEPTED: Mapping[str, str] = MappingProxyType({
    **dict.fromkeys((*SWITCHES, *FLAGS), _FLAG),
    "target_device": "DPU, CPU, GPU, FLEXML",
    "onnx_opset_version": "-1 (the newest) or a whole number from 13 on",
    KINDS_KEY: f"a list of {_WORDS(KINDS)}",
    OVERALL: "an object of quantization keys",
    TENSORS: f"an object of {_WORDS(KINDS)}",
    LAYERS: "a list of objects",
    **dict.fromkeys(KINDS, "an object of quantization keys"),
    "datatype": "int",
    "bit_width": "a whole number from 2 to 32",
    "method": _WORDS(Method),
    "round_mode": _WORDS(RoundMode),
    "scale_type": "poweroftwo, float",
    "calib_statistic_method": _WORDS(Statistic),
    "percentage": "a number above 0, at most 100",
    "layer_type": "text, such as Conv2d",
    "layer_name": "text: a layer, a module path or a glob",
})  # fmt: skip

#: Key → what it decides.
MEANING: Mapping[str, str] = MappingProxyType({
    "target_device": "Whose rules hold: the DPU's, or those of a CPU or GPU.",
    "convert_relu6_to_relu": "Replace ReLU6 by ReLU.",
    "convert_silu_to_hswish": "Replace SiLU by hard-swish.",
    "include_cle": "Equalize the channels of neighbouring convolutions.",
    "include_bias_corr": "Correct biases after quantization.",
    "keep_first_last_layer_accuracy": "Spend more effort on the outermost layers.",
    "keep_add_layer_accuracy": "Spend more effort on sums.",
    "change_concat_input_fix": "Inputs of a concatenation adopt its output's fix position.",
    "change_pool_input_fix": "Inputs of a pool adopt its output's fix position.",
    "onnx_opset_version": "Opset of the written ONNX file; -1 is the newest.",
    KINDS_KEY: "Kinds of tensors that an entry is about.",
    OVERALL: "Quantization keys for every kind of tensor.",
    TENSORS: "Quantization keys by kind of tensor; they win over the block for all kinds.",
    LAYERS: "Entries for layers by type or name; they win over the blocks for the network.",
    "datatype": "Kind of code; this plugin quantizes to int only.",
    "bit_width": "Bits of a code.",
    "method": "How a scale is found from values.",
    "round_mode": "Where ties go.",
    "symmetry": "Zero point 0; otherwise codes are unsigned with a zero point.",
    "per_channel": "One scale per output channel; weights only.",
    "signed": "Codes below zero exist.",
    "narrow_range": "Leave the most negative code out.",
    "scale_type": "Powers of two, which are shifts in hardware, or any float.",
    "calib_statistic_method": "How the scales of several batches become one; inputs and "
    "activations. pooled looks at all samples at once, whatever the batches.",
    "percentage": "Percent of the values inside the range, for method percentile.",
    "layer_type": "Layers of this kind, such as Conv2d or torch.nn.Linear.",
    "layer_name": "Layer, module path, glob, or a name that the original generated.",
})  # fmt: skip

"""What the front of a run changes in models and configurations: pixels as inputs.

Both kinds of configuration say the same numbers. Where mean and scale are in the first layer, the
stand-alone importer gets the network as it was trained and folds them itself (inDataNorm, inMean,
inScale, foldPreBnConv2D); the provider, which has no such keys, gets the folded network.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.fold import fold
from nibblefit.run import Run
from nibblefit_tidl.configuration.importer_model import RtImport
from nibblefit_tidl.configuration.provider_model import ProviderOptions
from nibblefit_tidl.current.modes import Mode
from nibblefit_tidl.front.convert import SUFFIX, with_converters
from nibblefit_tidl.front.numbers import (
    BOTH_ENDS,
    INPUT,
    OUTPUT,
    FrontNumbers,
    Where,
    front_numbers,
)
from nibblefit_tidl.front.preprocessing import broadcast
from nibblefit_tidl.front.stage import Front, front_of, network_on_pixels

#: Name of the network as it was trained, beside the folded one.
TRAINED = "float_trained"
_OUTPUTS = ("outElementType", "outZeroPoint", "outTensorScale")


@dataclass(frozen=True, slots=True)
class FrontFiles:
    """The front of a network that is written; without one, nothing is changed.

    Attributes:
        front: Mean and scale, and who applies them.
        numbers: What configuration files say about input and output.
        trained: The network without its front, where the importer folds it by itself.
    """

    front: Front | None = None
    numbers: FrontNumbers | None = None
    trained: Graph | None = None

    def converted(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Return a model whose input is uint8; it has casts, and layers where they normalize."""
        if self.front is None:
            return model
        given = self.front.given
        plain = broadcast([0.0], [1.0], given.channels)
        return with_converters(model, plain if self.front.inside else given)

    def provider(self, options: ProviderOptions) -> ProviderOptions:
        """Return provider options with what they say about the front."""
        if self.numbers is None:
            return options
        added = self.numbers.provider_options()
        if options.quantization_scale_type == 3:
            # Networks of that type have integers at both ends by themselves.
            added = {key: value for key, value in added.items() if "convert" not in key}
        return ProviderOptions.model_validate({**options.flat(), **added})

    def importer(self, config: RtImport, mode: Mode) -> RtImport:
        """Return the float form's configuration: its importer folds or converts by itself."""
        if self.numbers is None or self.numbers.where is not Where.FOLD:
            return self.converted_import(config) or config
        keys = self.numbers.importer_keys()
        convert = 0
        if mode.bits == 16:
            convert |= INPUT  # else the importer would want 16-bit pixels
        if not mode.symmetric:
            # Its scales are symmetric: our zero points are not its own.
            keys = {key: value for key, value in keys.items() if key not in _OUTPUTS}
            convert |= OUTPUT
        return _changed(config, {
            **keys, "addDataConvertToNet": convert, "rawDataInElementType": keys["inElementType"],
            "inputNetFile": f"{TRAINED}.onnx",
        })  # fmt: skip

    def converted_import(self, config: RtImport | None) -> RtImport | None:
        """Return the configuration of a model that has its converters inside."""
        if config is None or self.front is None:
            return config
        pixels = {"inElementType": [0], "rawDataInElementType": [0], "inZeroPoint": [0],
                  "inTensorScale": [1.0], "addDataConvertToNet": BOTH_ENDS}  # fmt: skip
        return _changed(
            config, {**pixels, "inDataNamesList": f"{config.in_data_names_list}{SUFFIX}"}
        )


def front_files(run: Run, graph: QuantizedGraph) -> FrontFiles:
    """Return the front of a run as its files have it."""
    front = front_of(run)
    if front is None or run.reference is None:
        return FrontFiles()
    network = run.reference.graph
    fold_pre_bn = network_on_pixels(network, front).fold_pre_bn if front.inside else 1
    numbers = front_numbers(graph, front.given, front.where, fold_pre_bn)
    return FrontFiles(front, numbers, fold(network) if front.inside else None)


def _changed(config: RtImport, keys: dict[str, object]) -> RtImport:
    return RtImport.model_validate({**config.given(), **keys})

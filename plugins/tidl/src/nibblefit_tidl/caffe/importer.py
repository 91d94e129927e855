"""Walks the layers of a Caffe network and grows the canonical graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nibblefit.errors import GraphError, InputError, did_you_mean
from nibblefit.ir.graph import Graph, Shape
from nibblefit.ir.ops import Op
from nibblefit.nn.builder import GraphBuilder
from nibblefit.nn.problems import Problem, Refused
from nibblefit_tidl.caffe.detection import Detection, PriorBox, detection, prior_box
from nibblefit_tidl.caffe.layers import HANDLERS
from nibblefit_tidl.caffe.layers.refusal import reason_for
from nibblefit_tidl.caffe.net import Net
from nibblefit_tidl.caffe.schema import Message
from nibblefit_tidl.caffe.site import Parameters, Site

#: Layers that read samples from somewhere; their first top is the picture.
DATA = frozenset({"Data", "ImageData", "ImageLabelData", "AnnotatedData", "HDF5Data",
                  "MemoryData", "WindowData", "DummyData"})  # fmt: skip
#: Layers that measure and pass nothing on, beside everything called a loss.
MEASURES = frozenset({"Accuracy", "SegmentationAccuracy", "IOUAccuracy", "DetectionEvaluate",
                      "Silence"})  # fmt: skip
#: Layers between a detector's scores and its output that stay with the post-processing.
_GATES = frozenset({"Softmax", "Sigmoid"})
_BEFORE_OUTPUT = _GATES | {"Flatten", "Reshape"}


class Importer:
    """One network being imported.

    Args:
        net: The layers of one phase.
        parameters: Where weights come from.
        input_shape: Shape of the only input without batch axis; empty for what the file says.
        file: Name of the prototxt, for messages.
    """

    def __init__(self, net: Net, parameters: Parameters, input_shape: Shape, file: str) -> None:
        self.net = net
        self.builder = GraphBuilder(net.name or file.rpartition("/")[2].removesuffix(".prototxt"))
        self.blobs: dict[str, str] = {}
        self.problems: list[Problem] = []
        self.left_out: list[str] = []
        self.detection: Detection | None = None
        self._parameters = parameters
        self._shape = input_shape
        self._file = file
        self._unknown: set[str] = set()  # blobs behind something refused
        self._absent: set[str] = set()  # labels, prior boxes and what follows from them
        self._unread: dict[str, str] = {}  # blobs that no layer has read yet
        self._inputs: set[str] = set()
        self._priors: dict[str, PriorBox] = {}
        self._output = next((la for la in net.layers if la.type == "DetectionOutput"), None)
        self._decoding = self._decoding_layers()

    def run(self) -> None:
        """Import every layer; what cannot be represented is collected in `problems`."""
        _check_names(self.net, self._file)
        for name, sizes in self.net.inputs.items():
            self._add_input(name, sizes)
        for layer in self.net.layers:
            self._layer(layer)

    def finish(self) -> Graph:
        """Return the graph; its outputs are the blobs that no layer reads."""
        if self.detection is not None:
            return self.builder.finish([self.detection.location, self.detection.confidence])
        if not self._unread:
            raise InputError(f"{self._file} computes nothing from its inputs")
        return self.builder.finish(tuple(self._unread.values()))

    def _decoding_layers(self) -> frozenset[str]:
        """Return the layers between a detector's raw scores and its output."""
        if self._output is None or len(self._output.bottom) < 3:
            return frozenset()
        makers = {top: layer for layer in self.net.layers for top in layer.top}
        chain: list[Message] = []
        layer = makers.get(self._output.bottom[1])
        while layer is not None and layer.type in _BEFORE_OUTPUT and layer not in chain:
            chain.append(layer)
            layer = makers.get(layer.bottom[0])
        # Up to the softmax, and the reshape that prepares it; a flatten before it is the head's.
        gates = [place for place, each in enumerate(chain) if each.type in _GATES]
        stop = gates[-1] + 1 if gates else 0
        while gates and stop < len(chain) and chain[stop].type == "Reshape":
            stop += 1
        return frozenset(each.name for each in chain[:stop])

    def _layer(self, layer: Message) -> None:
        missing = [b for b in layer.bottom if b not in self.blobs and b not in self._absent
                   and b not in self._unknown]  # fmt: skip
        if missing:
            raise InputError(
                f"layer '{layer.name}' of {self._file} reads '{missing[0]}', which nothing before "
                "it makes",
                hint=did_you_mean(missing[0], self.blobs),
            )
        if layer.type == "Input" or layer.type in DATA:
            self._data(layer)
        elif layer.type == "PriorBox":
            self._prior_box(layer)
        elif layer is self._output:
            self._detection_output(layer)
        elif layer.name in self._decoding or self._measures(layer) or self._is_beside(layer):
            self.left_out.append(layer.name)
            self._absent.update(top for top in layer.top if top not in self.blobs)
        elif self._unknown.intersection(layer.bottom):
            self._unknown.update(layer.top)
        else:
            self._handled(layer)

    @staticmethod
    def _measures(layer: Message) -> bool:
        return layer.type in MEASURES or layer.type.endswith("Loss")

    def _is_beside(self, layer: Message) -> bool:
        return any(bottom in self._absent for bottom in layer.bottom)

    def _handled(self, layer: Message) -> None:
        tensors = tuple(self.blobs[bottom] for bottom in layer.bottom)
        try:
            made = self._made(Site(layer, tensors, self.builder, self._parameters, self._file))
        except (Refused, GraphError) as problem:
            self._refuse(layer, problem)
            return
        for bottom in layer.bottom:
            self._unread.pop(bottom, None)
        for top, tensor in zip(layer.top, made):
            self._name(layer, top, tensor)

    @staticmethod
    def _made(site: Site) -> tuple[str, ...]:
        layer = site.layer
        handler = HANDLERS.get(layer.type)
        if handler is None:
            raise Refused(*reason_for(layer.type, tuple(HANDLERS)))
        if not site.inputs:
            raise Refused("it has no bottom", "connect it")
        made = tuple(handler(site))
        if len(made) != len(layer.top):
            raise Refused(f"it has {len(layer.top)} tops; expected {len(made)}")
        return made

    def _refuse(self, layer: Message, problem: Refused | GraphError) -> None:
        reason = problem.reason if isinstance(problem, Refused) else problem.what
        self.problems.append(Problem(layer.name, layer.type, reason, problem.hint))
        self._unknown.update(layer.top)

    def _name(self, layer: Message, top: str, tensor: str) -> None:
        if top in self.blobs and top not in layer.bottom:
            raise InputError(
                f"layer '{layer.name}' of {self._file} makes '{top}', which exists already",
                hint="give its top another name; only in-place layers may repeat one",
            )
        self.blobs[top] = self._unread[top] = tensor

    # --- inputs ------------------------------------------------------------------------------

    def _add_input(self, name: str, sizes: Sequence[int]) -> str:
        shape = tuple(self._shape) or tuple(int(size) for size in sizes[1:])
        if self._shape and self._inputs:
            raise InputError(
                f"{self._file} has several inputs; model.input_shape can state only one",
                hint="leave model.input_shape out",
            )
        if not shape or min(shape) < 1:
            raise InputError(
                f"{self._file} does not say how large its input '{name}' is",
                hint="state model.input_shape, such as [3, 224, 224] (channels first)",
            )
        tensor = self.builder.add_input(name, shape)
        self._inputs.add(tensor)
        self.blobs[name] = tensor
        return tensor

    def _data(self, layer: Message) -> None:
        shapes = [tuple(shape.dim) for shape in layer.input_param.shape] or [()]
        for index, top in enumerate(layer.top):
            is_input = layer.type == "Input" or (index == 0 and not top.startswith("label"))
            if not is_input:
                self._absent.add(top)
                continue
            sizes = shapes[min(index, len(shapes) - 1)]
            self._transform(layer, top, self._add_input(top, sizes))

    def _transform(self, layer: Message, top: str, tensor: str) -> None:
        """Add the data layer's ``(x − mean)·scale``, so that the graph takes stored pixels."""
        settings = layer.transform_param
        if settings.mean_file:
            problem = Refused("it subtracts a mean picture", "use mean_value, or a deploy file")
            self._refuse(layer, problem)
            return
        means = [float(f"{value:.7g}") for value in settings.mean_value] or [0.0]
        scale = float(f"{settings.scale:.7g}")
        if scale == 1 and not any(means):
            return
        channels = self.builder.shape_of(tensor)[0]
        if len(means) not in {1, channels}:
            self._refuse(layer, Refused(f"it has {len(means)} means for {channels} channels",
                                        "give one mean_value per channel"))  # fmt: skip
            return
        name = f"{layer.name}/transform"
        offset = -np.broadcast_to(np.array(means), channels) * scale
        constants = [
            self.builder.add_constant(f"{name}.weight", np.full(channels, scale), fixed=True),
            self.builder.add_constant(f"{name}.bias", offset, fixed=True),
        ]
        self.blobs[top] = self.builder.add(Op.SCALE_OFFSET, [tensor, *constants], name)

    # --- detectors ---------------------------------------------------------------------------

    def _prior_box(self, layer: Message) -> None:
        shape = self.builder.shape_of(self.blobs[layer.bottom[0]]) if (
            layer.bottom and layer.bottom[0] in self.blobs) else ()  # fmt: skip
        self.left_out.append(layer.name)
        self._absent.update(layer.top)
        if len(shape) == 3:
            tensor = self.blobs[layer.bottom[0]]
            self._priors[layer.top[0]] = prior_box(layer, tensor, (shape[1], shape[2]))

    def _detection_output(self, layer: Message) -> None:
        self.left_out.append(layer.name)
        self._absent.update(layer.top)
        if len(layer.bottom) < 3:
            self._refuse(layer, Refused(f"it has {len(layer.bottom)} bottoms; expected locations, "
                                        "confidences and prior boxes"))  # fmt: skip
            return
        makers = {top: one for one in self.net.layers for top in one.top}
        scores = layer.bottom[1]
        while scores in makers and makers[scores].name in self._decoding:
            scores = makers[scores].bottom[0]
        location = layer.bottom[0]
        if location not in self.blobs or scores not in self.blobs:
            return  # behind something refused
        joined = makers.get(layer.bottom[2])
        heads = list(joined.bottom) if joined is not None and joined.type == "Concat" else (
            [layer.bottom[2]])  # fmt: skip
        priors = tuple(self._priors[head] for head in heads if head in self._priors)
        gates = [la.type for la in self.net.layers if la.name in self._decoding
                 and la.type in _GATES]  # fmt: skip
        made = (self.blobs[location], self.blobs[scores], gates[0] if gates else "")
        self.detection = detection(layer, made, tuple(self.left_out), priors)
        self._check_detection(layer, self.detection)

    def _check_detection(self, layer: Message, found: Detection) -> None:
        boxes = sum(prior.count for prior in found.priors)
        wanted: Mapping[str, tuple[str, int]] = {
            "locations": (found.location, boxes * 4),
            "confidences": (found.confidence, boxes * found.classes),
        }
        for what, (tensor, count) in wanted.items():
            shape = self.builder.shape_of(tensor)
            if shape != (count,):
                self._refuse(layer, Refused(
                    f"its {what} have the shape {shape}; {boxes} prior boxes need ({count},)",
                    "make heads, prior boxes and num_classes agree",
                ))  # fmt: skip


def _check_names(net: Net, file: str) -> None:
    seen: set[str] = set()
    for layer in net.layers:
        if layer.name in seen:
            raise InputError(
                f"{file} has two layers called '{layer.name}'",
                hint="rename one; weights are found by the layer's name",
            )
        seen.add(layer.name)

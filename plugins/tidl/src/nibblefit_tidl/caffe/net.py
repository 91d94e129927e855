"""One network out of a Caffe message: old forms brought up to date, one phase chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nibblefit.errors import InputError
from nibblefit_tidl.caffe.schema import Message, enum_name, field_names, is_repeated, new

#: Names of the numbered layer types of V1 files, where more than the letter case differs.
_V1_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "ABSVAL": "AbsVal", "ACCURACY": "Accuracy", "ARGMAX": "ArgMax", "BNLL": "BNLL",
        "CONCAT": "Concat", "CONTRASTIVE_LOSS": "ContrastiveLoss", "CONVOLUTION": "Convolution",
        "DATA": "Data", "DECONVOLUTION": "Deconvolution", "DROPOUT": "Dropout",
        "DUMMY_DATA": "DummyData", "EUCLIDEAN_LOSS": "EuclideanLoss", "ELTWISE": "Eltwise",
        "EXP": "Exp", "FLATTEN": "Flatten", "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output",
        "HINGE_LOSS": "HingeLoss", "IM2COL": "Im2col", "IMAGE_DATA": "ImageData",
        "INFOGAIN_LOSS": "InfogainLoss", "INNER_PRODUCT": "InnerProduct", "LRN": "LRN",
        "MEMORY_DATA": "MemoryData", "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
        "MVN": "MVN", "POOLING": "Pooling", "POWER": "Power", "RELU": "ReLU",
        "SIGMOID": "Sigmoid", "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
        "SILENCE": "Silence", "SOFTMAX": "Softmax", "SOFTMAX_LOSS": "SoftmaxWithLoss",
        "SPLIT": "Split", "SLICE": "Slice", "TANH": "TanH", "WINDOW_DATA": "WindowData",
        "THRESHOLD": "Threshold",
    }
)  # fmt: skip
#: Fields of a V1 layer that are not simply copied.
_V1_SPECIAL = frozenset(
    {"type", "param", "blob_share_mode", "blobs_lr", "weight_decay", "layer", "name"}
)

TRAIN, TEST = "TRAIN", "TEST"


@dataclass(frozen=True, slots=True)
class Net:
    """A network of one phase.

    Attributes:
        name: As the file says, may be empty.
        inputs: Blob → dimensions with the batch axis, for inputs that are no layers; empty
            dimensions where the file gives none.
        layers: ``LayerParameter`` messages in file order.
    """

    name: str
    inputs: Mapping[str, tuple[int, ...]]
    layers: tuple[Message, ...]


def net_of(message: Message, where: str, phase: str = TEST) -> Net:
    """Return the network that a ``NetParameter`` describes in a phase.

    Raises:
        InputError: It holds no layer, layers of two generations, or contradicts itself.
    """
    if message.layer and message.layers:
        raise InputError(
            f"{where} holds both 'layer' and 'layers' blocks", hint="keep to one form: 'layer'"
        )
    layers = tuple(message.layer) or tuple(_upgraded(old, where) for old in message.layers)
    if not layers:
        raise InputError(
            f"{where} holds no layer",
            hint="a Caffe network is a list of 'layer' blocks; a solver file is none",
        )
    for layer in layers:
        if not layer.name or not layer.type:
            said = layer.name or layer.type or "one of them"
            raise InputError(f"{where}: a layer lacks its name or its type ({said})")
    taken = (layer for layer in layers if _is_in(layer, message.state, phase, where))
    return Net(message.name, MappingProxyType(dict(_inputs(message, where))), tuple(taken))


def _inputs(message: Message, where: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    names, shapes = list(message.input), [tuple(s.dim) for s in message.input_shape]
    if message.input_dim:
        sizes = list(message.input_dim)
        if shapes or len(sizes) != 4 * len(names):
            raise InputError(
                f"{where} has {len(names)} inputs and {len(sizes)} values of input_dim",
                hint="give four input_dim per input, or one input_shape each",
            )
        shapes = [tuple(sizes[4 * i : 4 * i + 4]) for i in range(len(names))]
    if shapes and len(shapes) != len(names):
        raise InputError(f"{where} has {len(names)} inputs and {len(shapes)} input shapes")
    yield from zip(names, shapes or [()] * len(names))


def _is_in(layer: Message, state: Message, phase: str, where: str) -> bool:
    """Return whether a layer belongs to a phase: Caffe's rules of include and exclude."""
    if layer.include and layer.exclude:
        raise InputError(
            f"{where}: layer '{layer.name}' has both include and exclude rules",
            hint="keep one of them",
        )
    if layer.include:
        return any(_meets(rule, state, phase) for rule in layer.include)
    return not any(_meets(rule, state, phase) for rule in layer.exclude)


def _meets(rule: Message, state: Message, phase: str) -> bool:
    stages = set(state.stage)
    return (
        (not rule.HasField("phase") or enum_name(rule, "phase") == phase)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and stages.issuperset(rule.stage)
        and not stages.intersection(rule.not_stage)
    )


def _upgraded(old: Message, where: str) -> Message:
    """Return a V1 layer as today's ``LayerParameter``."""
    if old.HasField("layer"):
        raise InputError(
            f"{where} is of the very first Caffe format (V0)",
            hint="bring it up to date with Caffe's upgrade_net_proto_text and _binary tools",
        )
    layer, known = new("LayerParameter"), field_names("LayerParameter")
    layer.name = old.name
    layer.type = _V1_TYPES.get(enum_name(old, "type"), "")
    for field, value in old.ListFields():
        if field.name in _V1_SPECIAL or field.name not in known:
            continue
        if is_repeated(field):
            getattr(layer, field.name).extend(value)
        elif field.message_type is not None:
            getattr(layer, field.name).CopyFrom(value)
        else:
            setattr(layer, field.name, value)
    for index in range(max(len(old.param), len(old.blobs_lr), len(old.weight_decay))):
        spec = layer.param.add()
        if index < len(old.param):
            spec.name = old.param[index]
        if index < len(old.blobs_lr):
            spec.lr_mult = old.blobs_lr[index]
        if index < len(old.weight_decay):
            spec.decay_mult = old.weight_decay[index]
    return layer

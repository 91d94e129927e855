"""The front of a run: what its options ask for, and the run as a network of pixels sees it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nibblefit.errors import RecipeError, UnsupportedError
from nibblefit.ir.graph import FloatConstant, Graph, Node, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.models import Model
from nibblefit.run import Run
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.front.folding import Border, fold_front
from nibblefit_tidl.front.numbers import Where
from nibblefit_tidl.front.options import FrontOptions
from nibblefit_tidl.front.pixels import PixelSource
from nibblefit_tidl.front.preprocessing import Preprocessing, broadcast, preprocessing_of

_WHERE = {"none": Where.HOST, "folded": Where.FOLD, "layers": Where.CONVERT}


@dataclass(frozen=True, slots=True)
class Front:
    """Who normalizes pixels, and how.

    Attributes:
        where: In the first layer, or in layers in front of it.
        given: Mean and scale.
        border: What happens to a padded first layer.
        inside: The integer network takes pixels. Data-convert layers stand outside of it: behind
            them is the network that was trained.
    """

    where: Where
    given: Preprocessing
    border: Border
    inside: bool


@dataclass(frozen=True, slots=True)
class PixelNetwork:
    """A float network that takes pixels.

    Attributes:
        graph: The network.
        fold_pre_bn: foldPreBnConv2D that does the same: 1, or 2 with a pad layer.
    """

    graph: Graph
    fold_pre_bn: int


def where_of(options: FrontOptions) -> Where:
    """Return who normalizes, by the options."""
    return _WHERE[options.front]


def front_of(run: Run) -> Front | None:
    """Return the front that a run's options ask for, None where the application normalizes.

    Raises:
        UnsupportedError: Mean and scale are neither given nor known from the data.
        RecipeError: They do not fit the channels.
    """
    options: FrontOptions = run.options
    where = where_of(options)
    if where is Where.HOST:
        return None
    channels = int(run.data.input_shape[0])
    if options.front_mean:
        given = broadcast(options.front_mean, options.front_scale, channels)
    else:
        given = preprocessing_of(getattr(run.data, "scaling", None), channels)
    classic = isinstance(options, ClassicOptions)
    return Front(where, given, Border(options.front_border), where is Where.FOLD or classic)


def network_on_pixels(network: Graph, front: Front) -> PixelNetwork:
    """Return the network with its front inside; weights and biases stay float32.

    A network that was trained on pixels, as TI's with their offset of -128, stays as it is.

    Raises:
        UnsupportedError: Mean and scale cannot go into it.
    """
    if front.given.is_identity:
        return PixelNetwork(network, 1)
    if front.where is Where.CONVERT:
        return PixelNetwork(with_scale_layer(network, front.given), 1)
    folded = fold_front(network, front.given, front.border)
    changed = {
        name: _narrow(values)
        for name, values in folded.graph.constants.items()
        if values is not network.constants.get(name)
    }
    return PixelNetwork(folded.graph.with_constants(changed), folded.fold_pre_bn)


def integer_run(run: Run) -> Run:
    """Return the run as its integer network sees it: on pixels if its front is inside."""
    front = front_of(run)
    if front is None or not front.inside:
        return run
    reference = run.reference
    if reference is not None:
        reference = reference.with_graph(network_on_pixels(reference.graph, front).graph)
    return replace(_seen_as_pixels(run, front), reference=reference)


def on_pixels(run: Run, model: Model) -> tuple[Run, Model]:
    """Return run and model as the integers see them; see `integer_run`."""
    front = front_of(run)
    if front is None or not front.inside:
        return run, model
    graph = network_on_pixels(model.graph, front).graph
    return _seen_as_pixels(run, front), model.with_graph(graph)


def frame_run(run: Run) -> Run:
    """Return the run whose samples are what the application hands over: pixels with any front."""
    front = front_of(run)
    return _seen_as_pixels(run, front) if front is not None else run


def _seen_as_pixels(run: Run, front: Front) -> Run:
    calibration = run.calibration
    if calibration is not None:
        calibration = PixelSource(calibration, front.given)
    return replace(run, data=PixelSource(run.data, front.given), calibration=calibration)


def check_front(run: Run, network: Graph) -> Graph:
    """Return the network that a device will run, so that it can be judged before training.

    Raises:
        UnsupportedError: The front cannot be made; says why in one line.
        RecipeError: The options contradict the generation.
    """
    front = front_of(run)
    if front is None:
        return network
    if isinstance(run.options, ClassicOptions) and front.border is Border.PAD:
        raise RecipeError(
            'target.front_border = "pad" needs a pad layer, which classic TIDL does not have',
            hint='use front = "layers", or a first convolution without padding',
        )
    if len(network.inputs) != 1:
        raise UnsupportedError(
            f"target.front: the network has {len(network.inputs)} inputs; mean and scale belong to "
            "one", hint='set target.front = "none"',
        )  # fmt: skip
    return network_on_pixels(network, front).graph if front.inside else network


def with_scale_layer(network: Graph, given: Preprocessing) -> Graph:
    """Return the network behind a layer ``x · scale − mean · scale`` per channel."""
    (source,) = network.inputs
    name = f"{source}.normalized"
    scale = np.array(given.scale)
    constants: dict[str, FloatConstant] = {
        f"{name}.scale:fixed": _narrow(scale),
        f"{name}.offset:fixed": _narrow(-np.array(given.mean) * scale),
    }
    layer = Node(name, Op.SCALE_OFFSET, (source, *constants), (name,), frozen_mapping(), name)
    nodes = [
        replace(node, inputs=tuple(name if given_ == source else given_ for given_ in node.inputs))
        for node in network.nodes
    ]
    return replace(
        network, nodes=(layer, *nodes),
        shapes=frozen_mapping({**network.shapes, name: network.shapes[source]}),
        constants=frozen_mapping({**network.constants, **constants}),
    )  # fmt: skip


def _narrow(values: FloatConstant) -> FloatConstant:
    narrow = np.array(values, np.float32)
    narrow.flags.writeable = False
    return narrow

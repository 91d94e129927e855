"""Latencies that TI published for AM57xx, and the networks they were measured on, as data.

Source: TIDL user guide, Processor SDK Linux 5.x/6.x, table of AM5729 latencies on one core (EVE at
650 MHz, C66x at 750 MHz); sparsities from the same table and from the logs of the sparse models in
caffe-jacinto-models 0.17. TI does not say which convolution kernels ran. The importers of that time
took the sparse kernel unless told otherwise, so that is assumed, without zeros as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from nibblefit_tidl.latency.work import Work

Core = Literal["eve", "dsp"]

#: Zeros of the published sparse models, by layer of the networks in `nibblefit_tidl.zoo`.
JACINTONET11_ZEROS: Mapping[str, float] = MappingProxyType({
    "conv1a": 0.395, "conv1b": 0.679, "res2a": 0.789, "res2b": 0.700, "res3a": 0.801,
    "res3b": 0.762, "res4a": 0.807, "res4b": 0.782, "res5a": 0.810, "res5b": 0.809,
})  # fmt: skip
JSEGNET21_ZEROS: Mapping[str, float] = MappingProxyType({
    "conv1a": 0.312, "conv1b": 0.715, "res2a": 0.797, "res2b": 0.706, "res3a": 0.804,
    "res3b": 0.781, "res4a": 0.810, "res4b": 0.802, "res5a": 0.810, "res5b": 0.810,
    "out5a": 0.810, "out3a": 0.809, "ctx_conv1": 0.808, "ctx_conv2": 0.808, "ctx_conv3": 0.808,
    "ctx_conv4": 0.808, "ctx_final": 0.347,
})  # fmt: skip
#: Zeros that the networks without sparse training happen to have.
MOBILENET_ZEROS, SQUEEZENET_ZEROS, INCEPTION_ZEROS = 0.0142, 0.0146, 0.0248
#: TI's mean over JDetNet's convolutions; its 1 × 1 heads are never thresholded, so it is taken for
#: the ten convolutions of the base.
JDETNET_ZEROS = 0.6184


@dataclass(frozen=True, slots=True)
class Point:
    """One published latency on one core.

    Attributes:
        network: Name; dense and sparse models of one network share it.
        variant: Which model.
        core: Which core.
        milliseconds: The latency.
        work: What the network asks of the core; derived from the networks of `nibblefit_tidl.zoo`
            at the published input sizes with the softmax or argmax that they end with.
    """

    network: str
    variant: str
    core: Core
    milliseconds: float
    work: Work

    @property
    def name(self) -> str:
        """Network and variant."""
        return f"{self.network} {self.variant}"


#: (network, variant) → work. `benchmarks/tidl_latency.py` and the tests derive it again.
WORK: Mapping[tuple[str, str], Work] = MappingProxyType({
    ("MobileNetV1", "as trained"): Work(27.8232, 531.832, 4.16386, 5.04571, 1, 0),
    ("SqueezeNet", "as trained"): Work(227.097, 157.998, 1.21357, 4.75502, 1, 8),
    ("InceptionNetV1", "as trained"): Work(1100.23, 359.99, 6.47185, 5.88224, 1.001, 9),
    ("JacintoNet11", "dense"): Work(405.823, 0, 2.86678, 1.14402, 1, 0),
    ("JacintoNet11", "sparse"): Work(100.698, 0, 0.970144, 1.14402, 1, 0),
    ("JSegNet21", "dense"): Work(8832.16, 0, 2.69258, 25.3624, 0, 0),
    ("JSegNet21", "sparse"): Work(1957.24, 0, 0.520498, 25.3624, 0, 0),
})  # fmt: skip

#: (network, variant) → milliseconds on EVE, on DSP.
_SINGLE: Mapping[tuple[str, str], tuple[float, float]] = MappingProxyType({
    ("MobileNetV1", "as trained"): (682.63, 717.11),
    ("SqueezeNet", "as trained"): (289.76, 1008.92),
    ("InceptionNetV1", "as trained"): (785.43, 2235.99),
    ("JacintoNet11", "dense"): (235.7, 370.64),
    ("JacintoNet11", "sparse"): (125.9, 115.91),
    ("JSegNet21", "dense"): (1236.84, 3825.95),
    ("JSegNet21", "sparse"): (378.18, 1101.12),
})  # fmt: skip

#: Published latencies of one frame that passes both cores, layers placed by TI. They are not part
#: of the fit: they judge the placement.
BOTH: Mapping[str, float] = MappingProxyType(
    {"JacintoNet11 sparse": 73.55, "JDetNet sparse": 197.55}
)


def points(core: Core) -> tuple[Point, ...]:
    """Return the published latencies of one core."""
    place = 0 if core == "eve" else 1
    return tuple(
        Point(*name, core, latencies[place], WORK[name]) for name, latencies in _SINGLE.items()
    )

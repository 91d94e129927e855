"""The post-processing of an SSD detector: named and described, never part of the graph."""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit_tidl.caffe.schema import Message, enum_name


def _number(value: float) -> float:
    return float(f"{value:.7g}")


@dataclass(frozen=True, slots=True)
class PriorBox:
    """Prior boxes of one head, as the PriorBox layer states them.

    Attributes:
        layer: Its name.
        tensor: The head's map in the graph.
        feature: Size (height, width) of that map.
        min_sizes, max_sizes: In pixels of the input.
        aspect_ratios: Beside 1.
        flip: Whether 1/ratio counts, too.
        clip: Whether boxes are cut to the picture.
        variances: Four, or one for all.
        offset: Of a box's centre in its cell, in cells.
        steps: Pixels between cells (vertical, horizontal); 0 where input and map sizes decide.
    """

    layer: str
    tensor: str
    feature: tuple[int, int]
    min_sizes: tuple[float, ...]
    max_sizes: tuple[float, ...]
    aspect_ratios: tuple[float, ...]
    flip: bool
    clip: bool
    variances: tuple[float, ...]
    offset: float
    steps: tuple[float, float]

    @property
    def per_cell(self) -> int:
        """Boxes at each place of the map."""
        ratios = [1.0]
        for ratio in self.aspect_ratios:
            if all(abs(ratio - known) >= 1e-6 for known in ratios):
                ratios += [ratio, 1 / ratio] if self.flip else [ratio]
        return len(ratios) * len(self.min_sizes) + len(self.max_sizes)

    @property
    def count(self) -> int:
        """Boxes of the whole map."""
        return self.per_cell * self.feature[0] * self.feature[1]


@dataclass(frozen=True, slots=True)
class Detection:
    """What follows the graph of an SSD detector.

    Attributes:
        layer: Name of the DetectionOutput layer.
        location, confidence: Graph outputs: (boxes · 4,) and (boxes · classes,), the latter before
            the softmax.
        gate: ``Softmax`` over the classes of a box, or ``Sigmoid``; empty where scores are used as
            they are.
        layers: Every layer that is left out of the graph, in file order.
        priors: One per head, in the order of the concatenation.
        classes: With the background.
        background: Number of the background class.
        code_type: ``CENTER_SIZE``, ``CORNER`` or ``CORNER_SIZE``.
        share_location: Whether all classes share a box.
        nms_threshold, nms_top_k: Overlap above which the weaker box goes; boxes looked at.
        keep_top_k: Boxes kept per picture, −1 for all.
        confidence_threshold: Weaker boxes go at once.
    """

    layer: str
    location: str
    confidence: str
    gate: str
    layers: tuple[str, ...]
    priors: tuple[PriorBox, ...]
    classes: int
    background: int
    code_type: str
    share_location: bool
    nms_threshold: float
    nms_top_k: int
    keep_top_k: int
    confidence_threshold: float


def prior_box(layer: Message, tensor: str, feature: tuple[int, int]) -> PriorBox:
    """Return what a PriorBox layer says about a map."""
    settings = layer.prior_box_param
    steps = (settings.step_h, settings.step_w)
    if settings.HasField("step"):
        steps = (settings.step, settings.step)
    return PriorBox(
        layer=layer.name,
        tensor=tensor,
        feature=feature,
        min_sizes=tuple(map(_number, settings.min_size)),
        max_sizes=tuple(map(_number, settings.max_size)),
        aspect_ratios=tuple(map(_number, settings.aspect_ratio)),
        flip=settings.flip,
        clip=settings.clip,
        variances=tuple(map(_number, settings.variance)) or (0.1,),
        offset=_number(settings.offset),
        steps=(_number(steps[0]), _number(steps[1])),
    )


def detection(
    layer: Message, scores: tuple[str, str, str], left_out: tuple[str, ...],
    priors: tuple[PriorBox, ...],
) -> Detection:  # fmt: skip
    """Return what a DetectionOutput layer says.

    Args:
        layer: The layer.
        scores: Graph outputs with locations and with confidences, and the gate behind the latter.
        left_out: Layers that are not in the graph.
        priors: Prior boxes of the heads.
    """
    location, confidence, gate = scores
    settings = layer.detection_output_param
    return Detection(
        layer=layer.name,
        location=location,
        confidence=confidence,
        gate=gate,
        layers=left_out,
        priors=priors,
        classes=settings.num_classes,
        background=settings.background_label_id,
        code_type=enum_name(settings, "code_type"),
        share_location=settings.share_location,
        nms_threshold=_number(settings.nms_param.nms_threshold),
        nms_top_k=settings.nms_param.top_k,
        keep_top_k=settings.keep_top_k,
        confidence_threshold=_number(settings.confidence_threshold),
    )

"""The post-processing of an SSD detector, written behind the graph as Caffe's layers."""

from __future__ import annotations

from nibblefit.errors import InputError
from nibblefit_tidl.caffe.detection import Detection, PriorBox
from nibblefit_tidl.caffe.schema import Message, new
from nibblefit_tidl.caffe.writing.layer import Writing


def add_detection(writing: Writing, detection: Detection) -> None:
    """Add prior boxes, the gate of the scores and DetectionOutput.

    Raises:
        InputError: The graph lacks a tensor that the description names.
    """
    needed = (detection.location, detection.confidence, *(p.tensor for p in detection.priors))
    for tensor in needed:
        if tensor not in writing.blobs:
            raise InputError(
                f"the detector's tensor '{tensor}' is not in graph '{writing.graph.name}'",
                hint="describe the detector with the tensors of this graph",
            )
    boxes = _priors(writing, detection)
    scores = _gated(writing, detection)
    location = writing.blobs[detection.location]
    layer = _layer(writing, "DetectionOutput", detection.layer, [location, scores, boxes])
    settings = layer.detection_output_param
    settings.num_classes = detection.classes
    settings.share_location = detection.share_location
    settings.background_label_id = detection.background
    settings.nms_param.nms_threshold = detection.nms_threshold
    settings.nms_param.top_k = detection.nms_top_k
    settings.keep_top_k = detection.keep_top_k
    settings.confidence_threshold = detection.confidence_threshold
    kinds = settings.DESCRIPTOR.fields_by_name["code_type"].enum_type.values_by_name
    settings.code_type = kinds[detection.code_type].number


def _layer(writing: Writing, kind: str, name: str, bottoms: list[str]) -> Message:
    message = new("LayerParameter")
    message.name, message.type = name, kind
    message.bottom.extend(bottoms)
    message.top.append(name)
    writing.layers.append(message)
    return message


def _priors(writing: Writing, detection: Detection) -> str:
    picture = writing.graph.inputs[0]
    for prior in detection.priors:
        bottoms = [writing.blobs[prior.tensor], writing.blobs[picture]]
        _describe(_layer(writing, "PriorBox", prior.layer, bottoms).prior_box_param, prior)
    names = [prior.layer for prior in detection.priors]
    joined = _layer(writing, "Concat", f"{detection.layer}/priorbox", names)
    joined.concat_param.axis = 2
    return str(joined.name)


def _describe(settings: Message, prior: PriorBox) -> None:
    settings.min_size.extend(prior.min_sizes)
    settings.max_size.extend(prior.max_sizes)
    settings.aspect_ratio.extend(prior.aspect_ratios)
    settings.flip, settings.clip = prior.flip, prior.clip
    settings.variance.extend(prior.variances)
    settings.offset = prior.offset
    if any(prior.steps):
        settings.step_h, settings.step_w = prior.steps


def _gated(writing: Writing, detection: Detection) -> str:
    """Add what turns raw scores into confidences; a softmax runs over the classes of each box."""
    blob, name = writing.blobs[detection.confidence], detection.layer
    if detection.gate == "Softmax":
        boxes = _layer(writing, "Reshape", f"{name}/boxes", [blob])
        boxes.reshape_param.shape.dim.extend((0, -1, detection.classes))
        softmax = _layer(writing, "Softmax", f"{name}/softmax", [boxes.name])
        softmax.softmax_param.axis = 2
        blob = _layer(writing, "Flatten", f"{name}/confidence", [softmax.name]).name
    elif detection.gate:
        blob = _layer(writing, detection.gate, f"{name}/confidence", [blob]).name
    return str(blob)

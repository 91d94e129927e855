"""Detection: anchors, coding, loss, suppression, and the task made of them."""

from nibblefit.tasks.detection.judging import DetectionSink
from nibblefit.tasks.detection.options import DetectionOptions
from nibblefit.tasks.detection.task import Detection, SingleShot, make

__all__ = ["Detection", "DetectionOptions", "DetectionSink", "SingleShot", "make"]

"""Measuring a float network; needs no extra."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from nibblefit.data.source import DataSource, Split
from nibblefit.results import Report
from nibblefit.tasks.protocol import DetailedSink, MetricSink, Task
from nibblefit.training.batches import SplitReader
from nibblefit.training.history import named_details


def evaluate_float(  # noqa: PLR0917 - six settings of one measurement
    network: nn.Module,
    task: Task,
    data: DataSource,
    split: Split = Split.TEST,
    batch_size: int = 256,
    limit: int = 0,
    *,
    subject: str = "float model",
) -> Report:
    """Run a network over a split and return the task's report.

    The network runs in evaluation mode, on the device of its parameters, and is left in the mode
    it was in.

    Args:
        network: Maps a batch to a tuple of outputs.
        task: Judges the outputs.
        data: The data set.
        split: Which part.
        batch_size: Samples per pass.
        limit: Use the first `limit` samples; 0 uses all.
        subject: Heading of the report.
    """
    sink, _ = _measure(network, task, SplitReader(data, split, task), batch_size, limit)
    return sink.report(subject)


def validate(
    network: nn.Module, task: Task, reader: SplitReader, batch_size: int
) -> Mapping[str, float]:
    """Return the task's metrics over a split, and the mean loss as ``loss``; {} if it is empty.

    Figures of single classes follow as ``ap50[car]`` where the task has any.
    """
    if len(reader) == 0:
        return {}
    sink, loss = _measure(network, task, reader, batch_size, 0, with_loss=True)
    details = sink.details() if isinstance(sink, DetailedSink) else {}
    return {"loss": loss, **sink.compute(), **dict(named_details(details))}


def _measure(
    network: nn.Module,
    task: Task,
    reader: SplitReader,
    batch_size: int,
    limit: int,
    *,
    with_loss: bool = False,
) -> tuple[MetricSink, float]:
    sink = task.metrics()
    count = min(limit or len(reader), len(reader))
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    was_training = network.training
    network.eval()
    total = 0.0
    try:
        with torch.inference_mode():
            for start in range(0, count, batch_size):
                indices = np.arange(start, min(start + batch_size, count))
                inputs, target = reader.read(indices)
                outputs = network(inputs.to(device))
                sink.update(outputs, target)
                if with_loss:
                    total += float(task.loss(outputs, _placed(target, device))) * len(indices)
    finally:
        network.train(was_training)
    return sink, total / max(1, count)


def _placed(target: object, device: torch.device) -> object:
    return target.to(device) if isinstance(target, torch.Tensor) else target

"""Tasks: what the network is for. One protocol; see `nibblefit.tasks.protocol`."""

from __future__ import annotations

from nibblefit.tasks.catalog import make_task
from nibblefit.tasks.protocol import DetailedSink, MetricSink, Task, rises

__all__ = ["DetailedSink", "MetricSink", "Task", "make_task", "rises"]

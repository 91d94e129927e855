"""Tasks: what the network is for. One protocol; see `nibblefit.tasks.protocol`."""

from __future__ import annotations

from nibblefit.tasks.catalog import make_task
from nibblefit.tasks.protocol import MetricSink, Task, rises

__all__ = ["MetricSink", "Task", "make_task", "rises"]

"""Core's trainable network: the float graph as it is."""

from __future__ import annotations

from nibblefit.models import Model
from nibblefit.nn.network import Network
from nibblefit.run import Run


def network(run: Run, model: Model) -> Network:  # noqa: ARG001 - the hook's signature
    """Return the model's graph as a float network."""
    return Network(model.graph)

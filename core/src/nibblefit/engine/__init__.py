"""The fast engine: the same integers as the judge, on every tensor, at the speed of int8 kernels.

A graph is compiled once. Planning follows the possible range of every value and gives each node the
fastest kernel that is proven exact for its actual weights and ranges; `Engine.explain` shows the
choice and its proof. How the proofs work is derived in ``docs/engine.md``.

Modules: `engine` (compile, run, stream), `planning` (graph to flat list of operations), `ranges`
(what values a tensor can hold), `chain` (steps as tensor passes), `weighted` (convolutions and
linear layers), `requantization` and `onednn` (int8 with fused rounding, and its proof), `kernels`
(all other operators), `layout` (how tensors lie in memory), `tuning` (images per chunk).
"""

from nibblefit.engine.engine import Engine

__all__ = ["Engine"]

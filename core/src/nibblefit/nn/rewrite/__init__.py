"""Rewrites: pure functions from graph to graph that keep what the network computes."""

from __future__ import annotations

from nibblefit.nn.rewrite.canonical import canonical
from nibblefit.nn.rewrite.fold_batch_norm import fold_batch_norm
from nibblefit.nn.rewrite.join_hard_swish import join_hard_swish
from nibblefit.nn.rewrite.live import live
from nibblefit.nn.rewrite.merge_bias import merge_bias
from nibblefit.nn.rewrite.merge_pads import merge_pads
from nibblefit.nn.rewrite.remove_dropout import remove_dropout
from nibblefit.nn.rewrite.remove_identity import remove_identity
from nibblefit.nn.rewrite.split_norms import split_norms

__all__ = [
    "canonical",
    "fold_batch_norm",
    "join_hard_swish",
    "live",
    "merge_bias",
    "merge_pads",
    "remove_dropout",
    "remove_identity",
    "split_norms",
]

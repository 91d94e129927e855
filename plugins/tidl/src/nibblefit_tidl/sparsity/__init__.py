"""Sparsity as TI trains it: which layers, which weights, when, and what was reached."""

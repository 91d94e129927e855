"""Proof of a memory plan on a word-accurate model of the data memories.

Every layer's reads and writes are executed with real addresses. Memory holds no numbers but the
names of the values that would lie there, so that one run proves the plan for all inputs.
"""

"""Graphs and the judge, floor 1: numpy and the standard library only."""

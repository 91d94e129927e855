"""Specs as recipes, and recipes as specs."""

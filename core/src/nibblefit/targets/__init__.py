"""Targets that come with nibblefit."""

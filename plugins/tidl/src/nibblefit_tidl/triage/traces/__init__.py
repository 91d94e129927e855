"""Trace files that TI's tools dump: reading them, and comparing them with our integers."""

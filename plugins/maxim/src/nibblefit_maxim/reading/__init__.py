"""Reading vendor files: network YAML and checkpoint become a quantized graph.

Nothing here is shared with `nibblefit_maxim.writing`; that is what makes reading back a check.
"""

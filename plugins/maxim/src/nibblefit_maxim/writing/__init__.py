"""Writing vendor files: network YAML, integer checkpoint, sample input and README.

Nothing here is shared with `nibblefit_maxim.reading`; that is what makes reading back a check.
"""

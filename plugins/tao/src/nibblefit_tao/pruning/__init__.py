"""Which filters go: scores, decisions for groups of coupled layers, curves and plans.

Following channels and cutting them is core's (`nibblefit.pruning`); what TAO decides is here.
"""

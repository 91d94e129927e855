"""Channels that can only leave a network together, and the network without some of them.

`coupling.couple` follows every channel through a float graph and finds which filters of which
layers belong together; `cutting.cut` removes classes of channels and returns a smaller graph. What
is removed is up to the caller: this package knows no scores.
"""

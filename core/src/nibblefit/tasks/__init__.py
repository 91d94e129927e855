"""Tasks: what the network is for. One protocol; see `nibblefit.tasks.protocol`."""

"""`nibblefit inspect` for both targets: support, sizes, partition, latency."""

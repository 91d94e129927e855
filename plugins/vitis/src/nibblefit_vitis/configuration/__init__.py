"""The original's configuration file: read, checked, resolved for a network, and as a recipe."""

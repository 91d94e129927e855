"""The vendor's configuration files: typed models, parsers that name lines, writers, rules."""

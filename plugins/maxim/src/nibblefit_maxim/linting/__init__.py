"""The linter: everything wrong with a network description, all at once, with line and remedy."""

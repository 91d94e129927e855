"""One module per command: options, help text, and a call of what does the work."""

"""Where networks and weights come from: factories in Python, state dicts in files."""

"""Mixed precision: the fewest bits per layer that accuracy and weight memory allow."""

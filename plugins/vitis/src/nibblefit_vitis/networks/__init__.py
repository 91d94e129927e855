"""Networks that come with the target."""

"""Networks as TAO builds them, in plain PyTorch, at any width."""

"""How the engine computes each operator that is no convolution or linear layer."""

"""Train, prune, retrain and quantize in the way of NVIDIA TAO."""

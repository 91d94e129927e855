"""Where a quantized network loses accuracy: layer by layer, against float and against traces."""

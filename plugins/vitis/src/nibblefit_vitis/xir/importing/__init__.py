"""XIR graphs of quantized models back to networks of ours; shares no code with the writer."""

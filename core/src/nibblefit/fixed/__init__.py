"""Integer truth, floor 0: formats, roundings, steps and operators on int64 arrays.

numpy and the standard library only; no torch, no onnx, no knowledge of targets.
"""

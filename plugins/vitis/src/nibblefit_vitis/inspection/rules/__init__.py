"""What a DPU asks of each sort of layer.

Source: the operator table of Vitis AI's manual, the target definitions, and the inspector that
worked without the compiler (pytorch_nndct); without two faults of that: its stride test compared
the list of allowed strides with itself, and a misspelt name ended it at wide max pools.
"""

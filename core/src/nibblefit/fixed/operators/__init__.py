"""Exact operators, one module per family.

Every function takes arrays with the batch axis first, channels second, and works on int64 for the
judge and on float64 for the float reference: the formula is the same, only the numbers differ.
"""

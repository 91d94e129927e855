"""What a network costs, by TI's own rules of counting: operations, and weights that are zero."""

from nibblefit_tidl.complexity.macs import LayerMacs, convolution_macs, importer_gmac, mmac
from nibblefit_tidl.complexity.sparsity import (
    LayerSparsity,
    Sparsity,
    sparsity,
    sparsity_of_codes,
)

__all__ = [
    "LayerMacs",
    "LayerSparsity",
    "Sparsity",
    "convolution_macs",
    "importer_gmac",
    "mmac",
    "sparsity",
    "sparsity_of_codes",
]

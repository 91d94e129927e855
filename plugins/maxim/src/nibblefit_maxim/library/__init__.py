"""Fused layers under the vendor's names, for models that are written for the chip.

    from nibblefit_maxim.library import FusedConv2dReLU, FusedMaxPoolConv2dBNReLU, Linear

They are ordinary torch modules: a model made of them is captured, trained and compiled like any
other, and a model of plain modules is fused to the same layers. `start_qat` switches such a model
to the chip's arithmetic inside a training loop of your own.
"""

from __future__ import annotations

from typing import Any

from nibblefit_maxim.library.forms import ELTWISE, FORMS

_FUNCTIONS = {
    "start_qat": "modes", "set_generation": "modes", "fold_batch_norm": "modes",
    "load_vendor_checkpoint": "checkpoint",
}  # fmt: skip

__all__ = [*FORMS, *ELTWISE, *_FUNCTIONS]  # noqa: PLE0604 - all are strings


def __getattr__(name: str) -> Any:
    # Importing the plugin must stay quick, and classes need torch.
    from importlib import import_module

    if name in FORMS or name in ELTWISE:
        return import_module(f"{__name__}.classes").CLASSES[name]
    if name in _FUNCTIONS:
        return getattr(import_module(f"{__name__}.{_FUNCTIONS[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)

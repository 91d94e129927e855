"""Names for ``target.part``: boards, and DPUs by the names that their compiler knows."""

from __future__ import annotations

from nibblefit_vitis.devices.catalogue import BOARDS, FINGERPRINTS

#: Boards come first; the first one is the default.
PARTS = (*BOARDS, *FINGERPRINTS)

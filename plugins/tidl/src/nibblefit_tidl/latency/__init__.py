"""How long a frame takes on EVE, on a DSP, and on both: a small model fitted to TI's figures."""

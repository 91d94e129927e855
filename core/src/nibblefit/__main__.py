"""Run the command line as ``python -m nibblefit``."""

from __future__ import annotations

import sys

from nibblefit.cli import main

if __name__ == "__main__":
    sys.exit(main())

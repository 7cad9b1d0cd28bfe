"""`python -m genbench` and the console script."""

from __future__ import annotations

import sys

from genbench.cli import main

if __name__ == "__main__":
    sys.exit(main())

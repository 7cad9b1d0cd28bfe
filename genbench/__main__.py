"""`python -m genbench` and the console script."""

from __future__ import annotations

import contextlib
import faulthandler
import sys

from genbench.cli import main as cli


def main() -> int:
    """Run one command and return its exit status; where the process crashes within a plugin,
    the plugin's line is said.
    """
    # standard error was closed by the caller
    with contextlib.suppress(RuntimeError, OSError, ValueError):
        faulthandler.enable()
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())

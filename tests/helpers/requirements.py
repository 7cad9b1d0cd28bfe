"""What some tests need of their surroundings: the real material, a browser, user namespaces."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


MISSING = "shared data missing"


NO_BROWSER = "not run: no browser"


NO_NAMESPACES = "not run: this system gives no user namespaces"


def _shared():
    """The folder of real material: $GENBENCH_TEST_DATA, else shared/data beside the checkout;
    None where there is none.
    """
    named = os.environ.get("GENBENCH_TEST_DATA")
    folder = Path(named) if named else CHECKOUT.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def chromium():
    """The browser that tests drive: $GENBENCH_CHROMIUM, else Debian's;
    None where it or playwright is missing.
    """
    named = (
        os.environ.get("GENBENCH_CHROMIUM")
        or shutil.which("chromium")
        or shutil.which("chromium-browser")
    )
    return named if named and importlib.util.find_spec("playwright") else None

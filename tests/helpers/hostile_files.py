"""What the tests of hostile files share: a thing that pickles as a call,
and the container that torch.storage._load_from_bytes is given.
"""

from __future__ import annotations

import io

import torch


class Evil:
    """Reduces to a call."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def legacy(content):
    """torch's format before 1.6: pickles in a row."""
    out = io.BytesIO()
    torch.save(content, out, _use_new_zipfile_serialization=False)
    return out.getvalue()

"""Say which known names an unknown one is near to."""

from __future__ import annotations

from collections.abc import Iterable


def choices(word: str, known: Iterable[str]) -> str:
    """The tail of an error about an unknown name: its near misses, then the known ones.

    >>> choices("ddmp", ["ddpm", "vae"])
    'did you mean ddpm? Known: ddpm, vae'
    """
    import difflib  # only where something was misspelt

    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    return (f"did you mean {' or '.join(near)}? " if near else "") + (
        "Known: " + ", ".join(names) if names else "There is none"
    )

"""Download a file in pieces, with retries, and report what cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

PIECE = 2**20  # bytes read from the network at a time


ATTEMPTS = 5  # connections to one download; each goes on where the last one broke off


TIMEOUT = 30.0  # seconds without a byte


class Unreached(Exception):
    """The network gave no whole file, and the line says why."""


def pieces(url: str) -> Iterator[bytes]:
    """The bytes behind a URL, piece by piece; a connection that breaks is taken up where
    it broke.
    """
    import http.client
    import urllib.error

    have, why = 0, ""
    for _ in range(ATTEMPTS):
        try:
            with _opened(url, have) as answer:
                for piece in iter(lambda: answer.read(PIECE), b""):
                    have += len(piece)
                    yield piece
                if not answer.length:  # http.client: what the server promised and did not send
                    return
                why = f"{url} broke off after {have} bytes"
        except urllib.error.HTTPError as error:
            error.close()
            raise Unreached(f"{url} answers {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            why = (
                f"{url} cannot be reached: "
                f"{getattr(error, 'reason', None) or error or type(error).__name__}"
            )
            if have == 0:
                break
    raise Unreached(why)


def _opened(url: str, have: int) -> Any:
    """An open answer whose next byte is number `have`."""
    import urllib.request

    request = urllib.request.Request(  # noqa: S310
        url, headers={"User-Agent": "genbench", **({"Range": f"bytes={have}-"} if have else {})}
    )
    # URLs stand in rows, which are code
    answer = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310
    if have and answer.status != 206:  # the server begins again
        left = have
        while left and (skipped := answer.read(min(left, PIECE))):
            left -= len(skipped)
    return answer

"""The page of a study on a port of this machine."""

from __future__ import annotations

import contextlib
import ipaddress
import socket

import uvicorn

from genbench._util.console import answer, complain
from genbench._util.errors import UserError
from genbench._util.formatting import clean
from genbench.human.session import Session
from genbench.human.store import Store
from genbench.human.web_app import application


def serve(store: Store, host: str, port: int, *, exposed: bool) -> None:
    """Serve until Ctrl-C; the link goes to standard output."""
    if "token" not in store.about:
        raise UserError(
            f"{store.path} was made elsewhere and has no pictures: genbench human "
            f"results {store.path}"
        )
    address = _address(host, exposed)
    try:
        listener = socket.create_server(
            (str(address), port), family=socket.AF_INET6 if address.version == 6 else socket.AF_INET
        )
    except OSError as error:
        raise UserError(
            f"{address} port {port} cannot be had ({error.strerror or error}): "
            "--port 0 takes any that is free"
        ) from None
    with contextlib.closing(listener):
        store.serve()
        session = Session(store)
        taken = listener.getsockname()[1]
        name = f"[{address}]:{taken}" if address.version == 6 else f"{address}:{taken}"
        if exposed:
            complain(
                f"unsafe: every machine that reaches {name} and has the link may answer, "
                "and what is sent is not encrypted"
            )
        answer(f"http://{name}/?token={session.token}")
        hosts = frozenset({name, f"localhost:{taken}"} if address.is_loopback else {name})
        if taken == 80:  # which browsers leave out
            hosts |= {host.removesuffix(":80") for host in hosts}
        config = uvicorn.Config(
            application(session, hosts),
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            lifespan="off",
            ws="none",
        )
        uvicorn.Server(config).run(sockets=[listener])


def _address(host: str, exposed: bool) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise UserError(f"--host {clean(host)}: an address such as 127.0.0.1") from None
    if address.is_unspecified:
        raise UserError(
            f"--host {address}: the page answers to one name alone; give this machine's own "
            "address, the one that raters will type"
        )
    if not address.is_loopback and not exposed:
        raise UserError(
            f"--host {address}: other machines would reach the page; --unsafe-expose says "
            "that this is meant"
        )
    return address

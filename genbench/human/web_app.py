"""The local page of a study: routes, and who may ask.

Starlette serves it; every answer comes from human_session.

Only requests that name this server exactly (Host) are answered, only changes that come from its own
pages (Origin) are made, and a page may load nothing from elsewhere nor be framed.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genbench._util.lazy_imports import jinja2
from genbench.human.session import PAUSE, Session

PAGES = Path(__file__).with_name("pages")
FILES = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
LARGEST = 4096  # bytes of a request's body
MONTH = 30 * 24 * 3600
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # no-referrer would take the Origin from our own forms
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Host and Origin exactly, before anything is looked at; the headers on every answer."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (k.encode(), v.encode())
                        for k, v in HEADERS.items()
                        if k.encode() not in there
                    ),
                ]
            await send(message)

        why = self._refusal(scope)
        answer = Response(why, status_code=403, media_type="text/plain") if why else self.app
        await answer(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> str:
        def all_of(name: bytes) -> list[str]:
            return [value.decode("latin-1") for key, value in scope["headers"] if key == name]

        hosts, origins = all_of(b"host"), all_of(b"origin")
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return "this server has another name"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return "only GET and POST"
        if (scope["method"] == "POST" or origins) and origins != [f"http://{hosts[0]}"]:
            return "the request comes from another page"
        return ""


def application(session: Session, hosts: frozenset[str]) -> ASGIApp:
    """The page of a study for these values of Host ("127.0.0.1:8765")."""
    page = Page(session)
    routes = [
        Route("/", page.entry),
        Route("/join", page.join, methods=["POST"]),
        Route("/resume", page.resume, methods=["GET"]),
        Route("/resume", page.resumed, methods=["POST"]),
        Route("/study", page.study),
        Route("/trial", page.trial),
        Route("/answer", page.answer, methods=["POST"]),
        Route("/undo", page.undo, methods=["POST"]),
        Route("/picture/{name}", page.picture),
        Route("/mine.json", page.mine),
        Route("/delete", page.delete, methods=["POST"]),
        Route("/static/{name}", page.static),
    ]
    return Guard(Starlette(routes=routes), hosts)


class Page:
    """The routes."""

    def __init__(self, session: Session) -> None:
        self.session = session
        loader = jinja2.FileSystemLoader(PAGES)
        self.templates = jinja2.Environment(
            loader=loader,
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.words = json.loads((PAGES / "words.json").read_text(encoding="utf-8"))

    def shown(self, name: str, status: int = 200, **values: Any) -> Response:
        design = self.session.design
        text = self.templates.get_template(name).render(
            words=self.words, design=design, kind=self.session.kind, pause=PAUSE, **values
        )
        return Response(text, status_code=status, media_type="text/html")

    async def rater(self, request: Request) -> int | None:
        return await run_in_threadpool(
            self.session.store.rater_of, request.cookies.get(self.session.cookie, "")
        )

    async def entry(self, request: Request) -> Response:
        rater = await self.rater(request)
        if rater is not None:
            at, of, _ = await run_in_threadpool(self.session.store.current, rater)
            return self.shown("back.html", at=at, of=of)
        if not self.token(request.query_params.get("token", "")):
            return self.shown("closed.html", 403)
        return self.shown("consent.html", token=self.session.token)

    def token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.session.token.encode())

    async def join(self, request: Request) -> Response:
        form = await _form(request)
        if form is None or not self.token(form.get("token", "")):
            return self.shown("closed.html", 403)
        # who comes back by the study's link is one rater, not two
        if await self.rater(request) is not None:
            return RedirectResponse("/study", status_code=303)
        return self.entered(await run_in_threadpool(self.session.join))

    def entered(self, key: str) -> Response:
        answer = RedirectResponse("/study", status_code=303)
        answer.set_cookie(
            self.session.cookie, key, max_age=MONTH, httponly=True, samesite="strict", path="/"
        )
        return answer

    async def resume(self, request: Request) -> Response:
        """A page with a button: the cookie is set by a request of our own,
        and looking at a link changes nothing.
        """
        return self.shown("resume.html", key=request.query_params.get("key", ""))

    async def resumed(self, request: Request) -> Response:
        form = await _form(request)
        key = (form or {}).get("key", "")
        known = await run_in_threadpool(self.session.store.rater_of, key)
        return self.shown("closed.html", 403) if known is None else self.entered(key)

    async def study(self, request: Request) -> Response:
        if await self.rater(request) is None:
            return self.shown("closed.html", 403)
        link = (
            f"http://{request.headers['host']}/resume?key="
            f"{quote(request.cookies[self.session.cookie], safe='')}"
        )
        return self.shown("study.html", link=link)

    async def trial(self, request: Request) -> Response:
        return await self.asked(request, lambda rater, _: self.session.state(rater))

    async def answer(self, request: Request) -> Response:
        def keep(rater: int, body: dict[str, Any]) -> dict[str, Any] | str:
            return self.session.answer(rater, body) or self.session.state(rater)

        return await self.asked(request, keep)

    async def undo(self, request: Request) -> Response:
        def take_back(rater: int, body: dict[str, Any]) -> dict[str, Any]:
            self.session.undo(rater, body)
            return self.session.state(rater)

        return await self.asked(request, take_back)

    async def asked(
        self, request: Request, work: Callable[[int, dict[str, Any]], dict[str, Any] | str]
    ) -> Response:
        """A rater's request for data, or with data: JSON back."""
        rater = await self.rater(request)
        if rater is None:
            return JSONResponse({"wrong": "unknown rater"}, status_code=403)
        body: Any = {}
        if request.method == "POST":
            try:
                body = json.loads(await _body(request) or b"")
            except (ValueError, RecursionError):
                body = None
        if not isinstance(body, dict):
            return JSONResponse({"wrong": "not a JSON object"}, status_code=400)
        found = await run_in_threadpool(work, rater, body)
        return (
            JSONResponse({"wrong": found}, status_code=409)
            if isinstance(found, str)
            else JSONResponse(found)
        )

    async def picture(self, request: Request) -> Response:
        rater = await self.rater(request)
        found = (
            None
            if rater is None
            else await run_in_threadpool(self.session.picture, rater, request.path_params["name"])
        )
        if found is None:
            return Response("no such picture", status_code=404, media_type="text/plain")
        return Response(
            found, media_type="image/png", headers={"cache-control": "private, max-age=600"}
        )

    async def mine(self, request: Request) -> Response:
        rater = await self.rater(request)
        if rater is None:
            return self.shown("closed.html", 403)
        text = json.dumps(await run_in_threadpool(self.session.own, rater), indent=1)
        return Response(
            text,
            media_type="application/json",
            headers={"content-disposition": 'attachment; filename="my-answers.json"'},
        )

    async def delete(self, request: Request) -> Response:
        rater = await self.rater(request)
        if rater is None:
            return self.shown("closed.html", 403)
        await run_in_threadpool(self.session.store.forget, rater)
        answer = self.shown("gone.html")
        answer.delete_cookie(self.session.cookie, path="/", httponly=True, samesite="strict")
        return answer

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in FILES:
            return Response("no such file", status_code=404, media_type="text/plain")
        return Response((PAGES / name).read_bytes(), media_type=FILES[name])


async def _body(request: Request) -> bytes | None:
    """The body, or None for one that is longer than any of ours."""
    whole = b""
    async for piece in request.stream():
        whole += piece
        if len(whole) > LARGEST:
            return None
    return whole


async def _form(request: Request) -> dict[str, str] | None:
    body = await _body(request)
    try:
        return (
            None
            if body is None
            else {
                key: values[0]
                for key, values in parse_qs(
                    body.decode("utf-8", "replace"), max_num_fields=10
                ).items()
            }
        )
    except ValueError:  # more fields than any form of ours
        return None

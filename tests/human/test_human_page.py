"""The page of a study: who is answered, what is kept out,
and that nothing that is sent tells a real picture from a generated one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from helpers.human_studies import study, told, truths
from starlette.testclient import TestClient

from genbench.human.session import AHEAD, Session
from genbench.human.store import Store
from genbench.human.web_app import application

HOST = "127.0.0.1:8765"
OURS = {"origin": f"http://{HOST}"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A small finished run of digits."""
    from genbench.cli.main import main

    folder = tmp_path_factory.mktemp("runs")
    words = [
        "run",
        "--plugin",
        "noise",
        "--dataset",
        "digits",
        "--n",
        60,
        "--metrics",
        "fd",
        "--out",
        folder,
        "--leaderboards",
        "none",
        "--quiet",
    ]
    assert main([str(word) for word in words]) == 0
    return [path.parent for path in folder.glob("*/run.json")]


@pytest.fixture
def served(runs, tmp_path):
    """A study that is served."""
    path = study(tmp_path, runs, trials=20)
    Store(path).serve()
    return Session(Store(path))


def browser(session, joined=True):
    """A client as a browser is: it keeps cookies and names the host; joined,
    it has agreed already.
    """
    client = TestClient(
        application(session, frozenset({HOST})), base_url=f"http://{HOST}", follow_redirects=False
    )
    if joined:
        answer = client.post("/join", data={"token": session.token}, headers=OURS)
        assert answer.status_code == 303
    return client


def answer(client, trial, pressed="left"):
    return client.post(
        "/answer",
        json={"trial": trial, "pressed": pressed, "reaction_ms": 600, "shown_ms": 600},
        headers=OURS,
    )


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "127.0.0.1",
        "127.0.0.1:8766",
        "localhost:8765.evil.org",
        "",
        "127.0.0.1:8765, evil.org",
    ],
)
def test_another_host_is_refused(served, host):
    """A name that was rebound to this machine reaches nothing, with the token or a cookie."""
    client = browser(served)
    for path in ("/", f"/?token={served.token}", "/study", "/trial", "/static/page.js"):
        found = client.get(path, headers={"host": host})
        assert (found.status_code, found.text) == (403, "this server has another name")


@pytest.mark.parametrize(
    "origin",
    [
        {},
        {"origin": "null"},
        {"origin": "http://evil.org"},
        {"origin": f"https://{HOST}"},
        {"origin": "http://127.0.0.1:1"},
    ],
)
def test_another_pages_changes_are_refused(served, origin):
    """POST without our own Origin changes nothing, with the cookie too;
    nor does any other method.
    """
    client = browser(served)
    body = {"trial": 0, "pressed": "left", "reaction_ms": 600, "shown_ms": 600}
    assert client.post("/answer", json=body, headers=origin).status_code == 403
    assert client.post("/delete", headers=origin).status_code == 403
    assert client.post("/join", data={"token": served.token}, headers=origin).status_code == 403
    assert client.put("/answer", json=body, headers=OURS).status_code == 403
    assert served.store.rows(
        "SELECT (SELECT COUNT(*) FROM answers), (SELECT COUNT(*) FROM raters)"
    ) == [(0, 1)]


def test_without_the_token_nothing_begins(served):
    """No token, a wrong one and a part of one lead to a closed page; nobody has joined."""
    client = browser(served, joined=False)
    for token in ("", "x", served.token[:-1], served.token + "x"):
        assert client.get("/", params={"token": token}).status_code == 403
        assert client.post("/join", data={"token": token}, headers=OURS).status_code == 403
    assert client.post("/join", content=b"a=1&" * 5000, headers=OURS).status_code == 403
    assert client.post("/join", content=b"token=" + b"&a=1" * 50, headers=OURS).status_code == 403
    for path in ("/study", "/trial", "/mine.json"):
        assert client.get(path).status_code == 403
    assert client.post("/delete", headers=OURS).status_code == 403
    assert served.store.rows("SELECT COUNT(*) FROM raters") == [(0,)]
    assert client.get("/", params={"token": served.token}).status_code == 200


def test_the_cookie_and_the_headers(served):
    """The cookie is HttpOnly and SameSite=Strict; every answer forbids frames, foreign loads,
    sniffing and storing.
    """
    client = browser(served, joined=False)
    joined = client.post("/join", data={"token": served.token}, headers=OURS)
    cookie = joined.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    for path in (
        "/",
        "/study",
        "/trial",
        "/static/page.css",
        "/static/nothing",
        "/nothing",
        "/picture/x",
    ):
        found = client.get(path)
        policy = found.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert (found.headers["x-content-type-options"], found.headers["x-frame-options"]) == (
            "nosniff",
            "DENY",
        )
        assert found.headers["cache-control"] == "no-store"
        assert "server" not in found.headers


def test_pages_hold_no_script_or_style_of_their_own(served):
    """No inline script, style or handler, and no address of another server, in any page."""
    client = browser(served)
    pages = [client.get(path).text for path in ("/", "/study", "/resume?key=x")] + [
        client.post("/delete", headers=OURS).text
    ]
    pages.append(client.get("/", params={"token": served.token}).text)
    for text in pages:
        assert not re.search(
            (
                r"<style|\sstyle=|\son\w+=|javascript:|<script(?! src=\"/static/page.js\" "
                r"defer></script>)"
            ),
            text,
        )
        assert set(re.findall(r"https?://[^/\s\"<]+", text)) <= {f"http://{HOST}"}


@pytest.mark.parametrize(
    "name",
    [
        "../web_app.py",
        "..%2fweb_app.py",
        "%2e%2e/words.json",
        "words.json",
        "base.html",
        "/etc/passwd",
        "page.js%00",
        "....//page.js",
    ],
)
def test_only_the_pages_own_files_are_served(served, name):
    """No way out of the folder of pages, and no template as it is."""
    client = browser(served)
    assert client.get(f"/static/{name}").status_code == 404
    assert client.get(f"/picture/{name}").status_code == 404


def test_a_resumed_link_is_escaped_and_does_nothing_by_itself(served):
    """What stands in a link is text; a link alone sets no cookie; a wrong key leads nowhere;
    the right one goes on.
    """
    client = browser(served)
    answer(client, 0)
    link = re.search(r"http://127.0.0.1:8765(/resume\?key=[\w-]+)", client.get("/study").text)[1]
    other = browser(served, joined=False)
    hostile = other.get("/resume", params={"key": '"><script>alert(1)</script>'})
    assert "<script>alert" not in hostile.text
    assert "set-cookie" not in other.get(link).headers
    assert other.post("/resume", data={"key": "wrong"}, headers=OURS).status_code == 403
    key = link.partition("=")[2]
    assert other.post("/resume", data={"key": key}, headers=OURS).status_code == 303
    assert other.get("/trial").json()["trial"] == 1


def test_a_rater_reaches_only_pictures_of_their_own_whose_turn_it_is(served):
    """Pictures of another rater, of later trials, and by the id of the file are not found;
    those of the current trial and the next three are.
    """
    one, two = browser(served), browser(served)
    mine, theirs = one.get("/trial").json(), two.get("/trial").json()
    assert len(mine["next"]) == AHEAD
    for name in [*mine["pictures"], *mine["next"]]:
        assert one.get(f"/picture/{name}").status_code == 200
        assert two.get(f"/picture/{name}").status_code == 404
    later = served._id(1, 10, "left")
    blind = served.store.rows("SELECT blind FROM pictures")[0][0]
    assert [
        one.get(f"/picture/{name}").status_code
        for name in (later, blind, theirs["pictures"][0], "é")
    ] == [404] * 4
    assert browser(served, joined=False).get(f"/picture/{mine['pictures'][0]}").status_code == 404


def test_nothing_that_is_sent_tells_real_from_fake(served):
    """Answers of the server are alike for real and generated pictures:
    status, header names and values, sizes, and the state's keys and lengths.
    """
    client = browser(served)
    seen = {True: set(), False: set()}
    for k, truth in enumerate(truths(served.store, 1)):
        said = client.get("/trial")
        state = said.json()
        picture = client.get(f"/picture/{state['pictures'][0]}")
        shape = (
            tuple(sorted(picture.headers.items())),
            len(picture.content),
            tuple(
                (key, len(value) if isinstance(value, str) else type(value).__name__)
                for key, value in state.items()
            ),
            tuple(len(name) for name in state["pictures"]),
        )
        seen[truth[0] == "real"].add(shape)
        assert answer(client, k).status_code == 200
    assert seen[True] == seen[False]
    assert len(seen[True]) == 1


def test_what_a_rater_may_download_tells_nothing_either(served):
    """The rater's own answers hold what was pressed and when, to the minute,
    and neither models nor truth.
    """
    client = browser(served)
    for k in range(20):
        answer(client, k)
    found = client.get("/mine.json")
    assert "attachment" in found.headers["content-disposition"]
    content = found.json()
    assert len(content["answers"]) == 20
    assert set(content["answers"][0]) == {
        "trial",
        "pressed",
        "answer",
        "reaction_ms",
        "shown_ms",
        "at",
    }
    assert not re.search(r"noise|catch|item|vae", found.text)


def test_an_answer_that_is_sent_again_is_harmless(served):
    """The same request twice is one answer; an old one does not change what was said;
    the state that comes back is the present one.
    """
    client = browser(served)
    assert answer(client, 0).json() == answer(client, 0).json()
    answer(client, 1)
    assert answer(client, 0, "right").json()["trial"] == 2
    assert served.store.rows("SELECT trial, pressed FROM answers ORDER BY trial") == [
        (0, "left"),
        (1, "left"),
    ]
    assert answer(client, 7).status_code == 409


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 5000,
        b"{" + b" " * 5000 + b"}",
        b"\xff\xfe",
        b'{"trial": 1e999, "pressed": 0}',
        b"null",
    ],
)
def test_bodies_that_are_no_answer(served, content):
    """Anything but a small JSON object of the right kinds is refused, and the server goes on."""
    client = browser(served)
    assert client.post("/answer", content=content, headers=OURS).status_code in (400, 409)
    assert client.post("/undo", content=content, headers=OURS).status_code in (200, 400)
    assert answer(client, 0).status_code == 200


def test_one_raters_cookie_is_not_anothers(served):
    """Two raters answer their own trials; a changed cookie is nobody."""
    one, two = browser(served), browser(served)
    answer(one, 0)
    assert (one.get("/trial").json()["trial"], two.get("/trial").json()["trial"]) == (1, 0)
    name, value = next(iter(one.cookies.items()))
    nobody = browser(served, joined=False)
    for forged in (value[:-1], value + "A", "1", "", value.swapcase()):
        assert nobody.get("/trial", headers={"cookie": f"{name}={forged}"}).status_code == 403


def test_a_rater_who_leaves_takes_all_along(served):
    """After deletion the cookie leads nowhere, the answers are gone, and the other rater's stay."""
    one, two = browser(served), browser(served)
    answer(one, 0)
    answer(two, 0)
    old = dict(one.cookies)
    assert one.post("/delete", headers=OURS).status_code == 200
    assert (
        one.get(
            "/trial", headers={"cookie": "; ".join(f"{k}={v}" for k, v in old.items())}
        ).status_code
        == 403
    )
    assert served.store.rows("SELECT rater FROM answers") == [(2,)]


def test_a_question_of_the_users_own_is_text(runs, tmp_path):
    """Markup in a question arrives as text: escaped in pages, and as data in JSON."""
    questions = tmp_path / "q.toml"
    questions.write_text(
        "[[question]]\n"
        'text = "</script><img src=x onerror=alert(1)>"\nlow = "<b>low"\nhigh = "\\u001b[31mhigh"\n'
    )
    session = Session(Store(study(tmp_path, runs, kind="rating", questions=questions, trials=20)))
    client = browser(session, joined=False)
    assert "<img" not in client.get("/", params={"token": session.token}).text
    client.post("/join", data={"token": session.token}, headers=OURS)
    found = client.get("/trial")
    assert found.headers["content-type"] == "application/json"
    assert json.loads(found.text)["high"] == "?[31mhigh"
    assert answer(client, 0, "6").status_code == 409
    assert answer(client, 0, "5").status_code == 200


def test_raters_who_join_at_once_in_a_fresh_server_all_get_in(runs, tmp_path):
    """Eight first requests in eight threads of a new process: all have joined,
    with their trials.
    """
    path = study(tmp_path, runs, trials=20)
    code = (
        "import sys, pathlib, threading\n"
        "from genbench.human.store import Store\nfrom genbench.human.session import Session\n"
        "session = Session(Store(pathlib.Path(sys.argv[1])))\n"
        "threads = [threading.Thread(target=session.join) for _ in range(8)]\n"
        "[one.start() for one in threads], [one.join() for one in threads]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert Store(path).rows("SELECT COUNT(*) FROM trials GROUP BY rater") == [(20,)] * 8


def test_a_whole_study_by_hand(served):
    """Every trial answered, with reloads between: all answers are there, the end says so,
    and what the keys mean is what was kept.
    """
    client = browser(served)
    for k, truth in enumerate(truths(served.store, 1)):
        client.get("/study")
        assert answer(client, k, told(served, 1, k, truth)).json()["trial"] == k + 1
    assert client.get("/trial").json()["done"]
    assert served.store.rows("SELECT COUNT(*) FROM answers") == [(20,)]

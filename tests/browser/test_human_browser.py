"""The page in a real browser: whole studies by keyboard, a reload in the middle, raters at once,
a server that dies; nothing lost, nothing asked outside.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from helpers.human_studies import study
from helpers.requirements import chromium

from genbench.human.store import Store

pytestmark = pytest.mark.browser
READY = "#stage[data-open], #pause:not([hidden]), #end:not([hidden])"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
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
    return next(path.parent for path in folder.glob("*/run.json"))


class Server:
    """`genbench human serve` in a process of its own."""

    def __init__(self, path, port=0):
        words = [sys.executable, "-m", "genbench", "human", "serve", str(path), "--port", str(port)]
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.link = self.process.stdout.readline().strip()
        self.port = int(re.search(r":(\d+)/", self.link)[1])

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def serve():
    """serve(path, port) -> a Server; all are stopped at the end."""
    started = []

    def call(path, port=0):
        started.append(Server(path, port))
        return started[-1]

    yield call
    for one in started:
        one.kill()


@pytest.fixture
def pages():
    """pages(server, ...) -> a page in a window of its own;
    what the console said and which requests left the server is checked at the end.
    """
    from playwright.sync_api import sync_playwright

    wrong = []
    with sync_playwright() as play:
        window = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])

        def call(server, tolerated="", **how):
            page = window.new_context(**how).new_page()
            page.on(
                "console",
                lambda said: (
                    None
                    if tolerated and re.search(tolerated, said.text)
                    else wrong.append(f"console: {said.text}")
                ),
            )
            page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
            page.on(
                "request",
                lambda asked: (
                    None
                    if asked.url.startswith(f"http://127.0.0.1:{server.port}/")
                    else wrong.append(f"request: {asked.url}")
                ),
            )
            return page

        yield call
        window.close()
    assert wrong == []


def begin(page, link):
    page.goto(link)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")


def step(page, key):
    """One key: an answer, or the end of a break; the trial that it answered, None for a break,
    "end".
    """
    page.wait_for_selector(READY, state="attached")
    if page.locator("#end:visible").count():
        return "end"
    if page.locator("#pause:visible").count():
        page.keyboard.press("Space")
        page.wait_for_selector("#pause", state="hidden")
        return None
    trial = page.get_attribute("#stage", "data-open")
    page.keyboard.press(key)
    page.wait_for_selector(f"#stage:not([data-open='{trial}'])", state="attached")
    return int(trial)


def test_two_raters_at_once_by_keyboard_with_a_reload(run, tmp_path, serve, pages):
    """Two raters in turn answer all 60 trials by keyboard, one reloads in the middle and takes one
    answer back: 120 answers, each its key, and a break each.
    """
    path = study(tmp_path, [run], trials=60, pictures=60)
    server = serve(path)
    one, two = pages(server), pages(server)
    for page in (one, two):
        begin(page, server.link)
    keys = ("f", "j", "ArrowLeft", "ArrowRight")
    pressed = {1: {}, 2: {}}
    breaks = 0
    for turn in range(200):
        ended = 0
        for rater, page in ((1, one), (2, two)):
            key = keys[(turn * rater + turn // 3) % 4]
            trial = step(page, key)
            ended += trial == "end"
            breaks += trial is None
            if isinstance(trial, int):
                pressed[rater][trial] = "left" if key in ("f", "ArrowLeft") else "right"
        if turn == 20:
            one.reload()
        if turn == 30:
            two.wait_for_selector("#stage[data-open]")
            back = int(two.get_attribute("#stage", "data-open")) - 1
            two.keyboard.press("Backspace")
            two.wait_for_selector(f"#stage[data-open='{back}']")
        if ended == 2:
            break
    rows = Store(path).rows(
        "SELECT rater, trial, pressed, reaction_ms, shown_ms FROM answers ORDER BY rater, trial"
    )
    assert {(rater, trial): said for rater, trial, said, *_ in rows} == {
        (r, k): said for r, of in pressed.items() for k, said in of.items()
    }
    assert len(rows) == 120
    assert breaks == 2
    assert all(0 < reaction <= shown < 60_000 for *_, reaction, shown in rows)
    assert Store(path).rows("SELECT rater, COUNT(*) FROM undone GROUP BY rater") == [(2, 1)]


def test_a_server_that_dies_loses_no_answer(run, tmp_path, serve, pages):
    """The server is killed; an answer given meanwhile is kept by the page and arrives at the next
    server; the reload shows the same place.
    """
    path = study(tmp_path, [run], trials=20)
    server = serve(path)
    page = pages(server, tolerated="ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE")
    begin(page, server.link)
    for _ in range(5):
        step(page, "f")
    page.wait_for_selector("#stage[data-open='5']")
    server.kill()
    page.keyboard.press("j")
    page.wait_for_selector("#note:has-text('The server does not answer')")
    serve(path, server.port)
    page.wait_for_selector("#stage[data-open='6']", timeout=20_000)
    assert Store(path).rows("SELECT trial, pressed FROM answers ORDER BY trial") == [
        (k, "left") for k in range(5)
    ] + [(5, "right")]
    page.reload()
    page.wait_for_selector("#stage[data-open='6']")


def test_ratings_on_a_phone_by_touch_and_the_way_out(run, tmp_path, serve, pages):
    """A rating study is answered by touch on a small screen without scrolling sideways;
    pictures are whole multiples; then the rater deletes it all.
    """
    questions = tmp_path / "q.toml"
    questions.write_text(
        "[[question]]\n"
        'text = "How <b>realistic</b> is it?"\npoints = 9\nlow = "not"\nhigh = "very"\n'
    )
    path = study(tmp_path, [run], kind="rating", questions=questions, trials=8, pictures=10)
    server = serve(path)
    page = pages(
        server,
        viewport={"width": 360, "height": 640},
        device_scale_factor=3,
        has_touch=True,
        is_mobile=True,
    )
    page.goto(server.link)
    page.locator("button").tap()
    for k in range(8):
        page.wait_for_selector(f"#stage[data-open='{k}']")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        width = page.evaluate(
            "document.querySelector('.pictures img').getBoundingClientRect().width * "
            "window.devicePixelRatio / 32"
        )
        assert width == pytest.approx(round(width), abs=1e-3)
        assert (
            page.evaluate(
                "getComputedStyle(document.querySelector('.pictures img')).imageRendering"
            )
            == "pixelated"
        )
        assert page.locator("#question").inner_text() == "How <b>realistic</b> is it?"
        last = page.locator(".answers button").nth(8)
        assert last.bounding_box()["y"] < 640
        last.tap()
    page.wait_for_selector("#end:visible")
    assert Store(path).rows("SELECT answer, COUNT(*) FROM answers") == [("9", 8)]
    page.locator("summary").tap()
    page.locator("details button").tap()
    page.wait_for_selector("text=Your answers are deleted")
    assert Store(path).rows("SELECT COUNT(*) FROM answers") == [(0,)]

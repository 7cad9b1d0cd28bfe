"""Weights are found in their order, held to their hashes, fetched whole or not at all,
and what is missing is one line that says what to bring.
"""

from __future__ import annotations

import gc
import hashlib
import http.server
import json
import os
import threading
from pathlib import Path

import pytest

from genbench._util import checksummed_files, hashing
from genbench._util.errors import UserError
from genbench.api import _registry as registry
from genbench.api.extractor import File, Weights
from genbench.io import weights

CONTENT = bytes(range(256)) * 9000  # 2.3 MB: more than two pieces
SIZE, SHA256 = len(CONTENT), hashlib.sha256(CONTENT).hexdigest()
OTHER = b"another network"


class Serving(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT under any name: whole, or cut short as often as `breaks` says,
    with or without ranges.
    """

    breaks, ranges, content, asked = 0, True, CONTENT, []

    def do_GET(self):
        own = type(self)
        said = self.headers.get("Range")
        own.asked.append((self.path, said))
        if "absent" in self.path:
            self.send_error(404)
            return
        start = int(said.removeprefix("bytes=").removesuffix("-")) if said and own.ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(own.content) - start))
        self.end_headers()
        end = start + 1_000_003 if own.breaks > 0 else len(own.content)
        own.breaks -= 1
        self.wfile.write(own.content[start:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """A server on this machine; its fields say how it behaves."""
    handler = type("Here", (Serving,), {"asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        handler.url = f"http://127.0.0.1:{running.server_address[1]}"
        yield handler
        running.shutdown()
        thread.join()
        gc.collect()  # a connection that was left open is this test's fault, not a later one's


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """A cache of the test's own, and no word of the caller's environment."""
    monkeypatch.setenv("GENBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GENBENCH_WEIGHTS", raising=False)
    monkeypatch.delenv("GENBENCH_OFFLINE", raising=False)
    return tmp_path / "home" / "weights"


def row(url="", sha256=SHA256, size=SIZE, name="net.pth"):
    return Weights(
        "net",
        "MIT",
        (File(name, sha256=sha256, bytes=size, url=url and f"{url}/{name}", form="theirs"),),
    )


def put(folder, content=CONTENT, name="net.pth"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


# Finding


def test_the_order_of_places(tmp_path, own_home, monkeypatch):
    """A file named by hand, then $GENBENCH_WEIGHTS folder by folder, then the cache,
    then beside the module; nowhere is None.
    """
    monkeypatch.setenv(
        "GENBENCH_WEIGHTS", os.pathsep.join([str(tmp_path / "one"), str(tmp_path / "two")])
    )
    places = [
        (put(tmp_path / "hand"), "named"),
        (put(tmp_path / "one"), "$GENBENCH_WEIGHTS"),
        (put(tmp_path / "two"), "$GENBENCH_WEIGHTS"),
    ]
    places += [(put(own_home), "cache"), (put(tmp_path / "beside"), "beside")]
    named = {"net": places[0][0]}
    for path, where in places:
        assert weights.find(row(), tmp_path / "beside", named) == weights.Found(
            path, SHA256, True, "theirs", where
        )
        path.unlink()
        named = {}
    assert weights.find(row(), tmp_path / "beside", {}) is None


def test_only_files_without_a_url_lie_beside_the_module(tmp_path, server):
    """What has a URL is not looked for in the package."""
    put(tmp_path)
    assert weights.find(row(server.url), tmp_path, {}) is None


@pytest.mark.parametrize("content", [OTHER, CONTENT[:-1]], ids=["another", "truncated"])
@pytest.mark.parametrize("place", ["variable", "cache", "beside"])
def test_a_wrong_file_is_refused_with_both_hashes(tmp_path, own_home, monkeypatch, place, content):
    """In every place a file of another hash, a truncated one too, is a line with its path,
    both hashes and both sizes.
    """
    monkeypatch.setenv("GENBENCH_WEIGHTS", str(tmp_path / "variable"))
    path = put(
        {"variable": tmp_path / "variable", "cache": own_home, "beside": tmp_path}[place], content
    )
    with pytest.raises(UserError) as caught:
        weights.find(row(), tmp_path, {})
    line = str(caught.value)
    assert (
        f"{path} has SHA-256 {hashlib.sha256(content).hexdigest()} instead of {SHA256}, "
        f"{len(content)} bytes instead of {len(CONTENT)}"
    ) in line
    assert f"--weights net={path}" in line
    assert "\n" not in line


def test_a_file_named_by_hand_is_taken_and_is_published_only_if_it_is(tmp_path):
    """By hand any file is accepted; whether it is one of the published ones is said by its hash
    alone, and its form with it.
    """
    own, same = put(tmp_path, OTHER, "own.pth"), put(tmp_path, CONTENT, "renamed.bin")
    foreign = weights.need(row("http://nowhere.invalid"), tmp_path, {"net": own})
    assert foreign == weights.Found(own, hashlib.sha256(OTHER).hexdigest(), False, "", "named")
    assert weights.need(row(), tmp_path, {"net": same}) == weights.Found(
        same, SHA256, True, "theirs", "named"
    )
    with pytest.raises(UserError, match=r"--weights net=.*gone\.pth: there is no such file"):
        weights.find(row(), tmp_path, {"net": tmp_path / "gone.pth"})


# Hashes that nobody published


def test_the_first_hash_seen_is_held_to(tmp_path, own_home):
    """Without a published hash the first file is taken and its hash written down;
    another one later is refused, and foreign by hand.
    """
    path = put(own_home)
    assert weights.find(row(sha256="", size=0), tmp_path, {}).published
    assert checksummed_files.read_json(own_home / "hashes.json")["first"] == {"net.pth": SHA256}
    path.write_bytes(OTHER)
    with pytest.raises(UserError, match=rf"instead of {SHA256} \(the first one seen\)"):
        weights.find(row(sha256="", size=0), tmp_path, {})
    assert not weights.find(row(sha256="", size=0), tmp_path, {"net": path}).published


def test_a_file_named_by_hand_sets_no_example(tmp_path, own_home):
    """A file named by hand is not what later files are held to."""
    weights.find(row(sha256="", size=0), tmp_path, {"net": put(tmp_path, OTHER)})
    put(own_home)
    assert weights.find(row(sha256="", size=0), tmp_path, {}).sha256 == SHA256


def test_a_name_that_carries_its_hash_is_held_to_it(tmp_path, own_home):
    """model-7be5be79.pth must begin so (torch.hub's convention) where no whole hash
    is published.
    """
    right = row(sha256="", size=0, name=f"net-{SHA256[:8]}.pth")
    put(own_home, CONTENT, right.files[0].file)
    assert weights.find(right, tmp_path, {}).sha256 == SHA256
    put(own_home, OTHER, "net-00000000.pth")
    with pytest.raises(UserError, match=r"instead of 00000000 \(as its name begins\)"):
        weights.find(row(sha256="", size=0, name="net-00000000.pth"), tmp_path, {})


def test_a_damaged_ledger_is_said_and_written_anew(tmp_path, own_home, capfd):
    """A ledger that was altered is not believed: hashes are written down again,
    and that is said.
    """
    put(own_home)
    (own_home / "hashes.json").write_text(
        '{"first": {"net.pth": "' + "0" * 64 + '"}, "digest": "x"}'
    )
    assert weights.find(row(sha256="", size=0), tmp_path, {}).sha256 == SHA256
    assert "hashes are written down anew" in capfd.readouterr().err
    assert checksummed_files.read_json(own_home / "hashes.json")["first"] == {"net.pth": SHA256}


def test_large_files_are_hashed_once_and_again_when_they_change(tmp_path, own_home, monkeypatch):
    """A large file is read once; its size or time of change make it be read again,
    and verify always does.
    """
    read, hashed = [], hashing.file_sha256
    monkeypatch.setattr(weights, "LARGE", 1000)
    monkeypatch.setattr(hashing, "file_sha256", lambda path: read.append(path) or hashed(path))
    path = put(own_home)
    for _ in range(3):
        weights.find(row(), tmp_path, {})
    assert len(read) == 1
    path.write_bytes(OTHER * (len(CONTENT) // len(OTHER)))
    with pytest.raises(UserError, match="instead of"):
        weights.find(row(), tmp_path, {})
    assert len(read) == 2
    list(weights.present(row(), tmp_path, again=True))
    assert len(read) == 3


# Fetching


def test_a_published_file_is_fetched_once(tmp_path, server, own_home):
    """need brings a missing file into the cache, whole, and does not ask again."""
    for _ in range(2):
        assert weights.need(row(server.url), tmp_path, {}) == weights.Found(
            own_home / "net.pth", SHA256, True, "theirs", "cache"
        )
    assert (own_home / "net.pth").read_bytes() == CONTENT
    assert server.asked == [("/net.pth", None)]
    assert {path.name for path in own_home.iterdir()} <= {"net.pth", ".net.pth.lock"}


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "from the start"])
def test_a_broken_download_goes_on_where_it_broke(tmp_path, server, own_home, ranges):
    """A connection that ends early is taken up: by a range where the server knows them,
    by skipping what is there already where it does not.
    """
    server.breaks, server.ranges = (2, True) if ranges else (1, False)
    assert weights.need(row(server.url), tmp_path, {}).sha256 == SHA256
    assert [said for _, said in server.asked] == [None, "bytes=1000003-", "bytes=2000006-"][
        : len(server.asked)
    ]
    assert len(server.asked) == (3 if ranges else 2)


def test_a_download_that_never_comes_whole_leaves_nothing(tmp_path, server, own_home):
    """Truncated every time: one line that says what to bring,
    nothing under the final name or beside it; the next call begins anew and succeeds.
    """
    server.breaks, server.content = 99, CONTENT * 4
    with pytest.raises(
        UserError,
        match=(
            r"broke off after \d+ bytes.*put net\.pth from http.*SHA-256 \w{64} into .*weights, or "
            r"name it: --weights net=PATH"
        ),
    ):
        weights.need(row(server.url), tmp_path, {})
    assert [path.name for path in own_home.iterdir() if path.suffix != ".lock"] == []
    server.breaks, server.content = 0, CONTENT
    assert weights.need(row(server.url), tmp_path, {}).sha256 == SHA256


@pytest.mark.parametrize("content", [OTHER, CONTENT + b"x"], ids=["another", "longer"])
def test_a_wrong_download_is_refused_and_not_kept(tmp_path, server, own_home, content):
    """A server with another file: both hashes in one line, and nothing is kept."""
    server.content = content
    with pytest.raises(
        UserError, match=rf"has SHA-256 {hashlib.sha256(content).hexdigest()} instead of {SHA256}"
    ):
        weights.need(row(server.url), tmp_path, {})
    assert not (own_home / "net.pth").exists()


def test_a_first_download_is_written_down(tmp_path, server, own_home):
    """A download whose hash nobody published is what later ones are held to,
    even after it is deleted.
    """
    weights.need(row(server.url, sha256="", size=0), tmp_path, {})
    (own_home / "net.pth").unlink()
    server.content = OTHER
    with pytest.raises(UserError, match=rf"instead of {SHA256}"):
        weights.need(row(server.url, sha256="", size=0), tmp_path, {})


@pytest.mark.parametrize("why", ["GENBENCH_OFFLINE is set", "cannot be reached", "answers 404"])
def test_what_is_missing_is_one_line(tmp_path, server, own_home, monkeypatch, why):
    """Offline, without a network or without the file on the server:
    the file, its URL, its hash, where to put it, or --weights.
    """
    if "OFFLINE" in why:
        monkeypatch.setenv("GENBENCH_OFFLINE", "1")
    one = row(
        "http://127.0.0.1:9" if "reached" in why else server.url,
        name="absent.pth" if "404" in why else "net.pth",
    )
    with pytest.raises(UserError) as caught:
        weights.need(one, tmp_path, {})
    line = str(caught.value)
    assert all(
        word in line
        for word in (
            why,
            one.files[0].file,
            one.files[0].url,
            SHA256,
            str(own_home),
            "--weights net=PATH",
        )
    )
    assert "\n" not in line
    assert ("OFFLINE" in why) == (not server.asked and "reached" not in why)


def test_a_shipped_file_that_is_gone_is_not_looked_for_in_the_network(tmp_path):
    """Weights without a URL belong to a package; where they are gone it is to be
    installed again.
    """
    with pytest.raises(
        UserError, match=r"net\.pth is missing beside .*: install its package again"
    ):
        weights.need(row(), tmp_path, {})


# Words and the command


def test_words():
    """NAME=PATH becomes a path by name; other forms and a name given twice are refused in
    a line.
    """
    assert weights.words(["a=x/y.pth", "b=c=d"]) == {"a": Path("x/y.pth"), "b": Path("c=d")}
    for wrong in ("a", "=x", "a="):
        with pytest.raises(UserError, match="is not NAME=PATH"):
            weights.words([wrong])
    with pytest.raises(UserError, match="names a twice"):
        weights.words(["a=x", "a=y"])
    weights.known({"a": Path("x")}, ["a", "b"])
    with pytest.raises(UserError, match="did you mean inception"):
        weights.known({"incepton": Path("x")}, ["inception", "vgg16"])


EXTRACTOR = """
from genbench.api import Extractor, File, Weights

def load(device, weights):
    return None

NET = Extractor("mine", "", {{"pool": 2}}, 8, "none", Weights("net", "MIT", (File("net.pth", sha256="{sha256}", bytes={size}, url="{url}/net.pth"),)), "", load)
"""  # noqa: E501


@pytest.fixture
def stranger(tmp_path, server):
    """An extractor of one's own, whose weights the server has."""
    path = tmp_path / "mine.py"
    path.write_text(EXTRACTOR.format(sha256=SHA256, size=len(CONTENT), url=server.url))
    registry.add_file(path)
    return server


def test_the_command_lists_fetches_and_verifies(cli, stranger, own_home):
    """list: missing; fetch: there; verify: ok, exit status 0; altered:
    wrong with both hashes, exit status 2; JSON says the same whole.
    """
    status, out, _ = cli("weights", "--json")
    listed = {one["name"]: one for one in json.loads(out)["weights"]}
    assert (
        status,
        listed["net"]["extractors"],
        listed["net"]["files"][0]["state"],
        listed["net"]["files"][0]["sha256"],
    ) == (0, ["mine"], "", SHA256)
    assert listed["digits"]["files"][0]["state"] == "beside"
    status, out, _ = cli("weights", "fetch", "net")
    assert (status, out.split()) == (0, ["net", str(own_home / "net.pth"), SHA256])
    (line,) = [line.split() for line in cli("weights")[1].splitlines() if line.startswith("net ")]
    assert line == ["net", "mine", "net.pth", SHA256[:12], "MIT", "cache", "2.3"]
    status, out, _ = cli("weights", "verify", "net")
    assert (status, "ok" in out) == (0, True)
    put(own_home, OTHER)
    status, out, _ = cli("weights", "verify", "net", "--json")
    wrong = {
        "name": "net",
        "state": "wrong",
        "path": str(own_home / "net.pth"),
        "sha256": hashlib.sha256(OTHER).hexdigest(),
        "wanted": SHA256,
    }
    assert (status, json.loads(out)) == (2, [wrong])
    assert f"{wrong['sha256']} instead of {SHA256}" in cli("weights", "verify")[1]
    assert "wrong, cache" in cli("weights")[1]


def test_the_command_shows_one(cli, stranger):
    """`genbench weights NAME` shows its URL, licence and who needs it;
    a misspelt name its near miss.
    """
    status, out, _ = cli("weights", "net")
    assert status == 0
    assert all(word in out for word in (f"{stranger.url}/net.pth", "MIT", "mine", SHA256))
    assert json.loads(cli("weights", "net", "--json")[1])["extractors"] == ["mine"]
    for words in (("digts",), ("fetch", "digts"), ("verify", "digts")):
        status, _, err = cli("weights", *words)
        assert (status, "did you mean digits" in err) == (2, True)


def test_every_name_is_one_row():
    """Extractors that need weights of one name mean the same row, files of one name have one hash,
    and each can be fetched or is in the package.
    """
    found, by_file = {}, {}
    for one in registry.every("extractors").values():
        if one.weights is not None:
            assert found.setdefault(one.weights.name, one.weights) == one.weights
            for file in one.weights.files:
                assert by_file.setdefault(file.file, (file.sha256, file.url)) == (
                    file.sha256,
                    file.url,
                )
                assert file.url.startswith("https://") or file.sha256
                assert len(file.sha256) in (0, 64)
                assert not file.sha256 or file.sha256.startswith(weights.wanted(File(file.file)))

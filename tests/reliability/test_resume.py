"""A run that is killed and started again ends as if nothing had happened."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file


def _shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("runs/*/shards/*")}


@pytest.mark.parametrize("harm", ["cut short", "one bit", "empty", "another run's"])
def test_a_damaged_shard_is_named_and_done_again(harm, here, cli):
    """A shard file cut short, altered in one bit, emptied or taken from another run is made again
    as it was, and the first three are named.
    """
    words = ("run", "--plugin", "noise", "--n", "40", "--metrics", "fd")
    cli(*words)
    before = _shards(here)
    path = next(iter(sorted(here.glob("runs/*/shards/*.digits.pool.safetensors"))))
    data = path.read_bytes()
    if harm == "another run's":
        cli(*words, "--seed", "1", "--out", "other")
        damaged = next(iter((here / "other").glob(f"*/shards/{path.name}"))).read_bytes()
    else:
        damaged = {
            "cut short": data[:-7],
            "one bit": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
            "empty": b"",
        }[harm]
    path.write_bytes(damaged)
    next(iter(here.glob("runs/*/run.json"))).unlink()
    status, _, err = cli(*words)
    assert status == 0
    assert (path.name in err) == (harm != "another run's")
    assert _shards(here) == before


def test_a_damaged_record_is_named_and_made_again(here, cli):
    """A run.json altered by hand is named and made again from the shards,
    with the same scores and nothing drawn again.
    """
    words = ("run", "--plugin", "noise", "--n", "40", "--metrics", "fd", "--json")
    first = json.loads(cli(*words)[1])
    path = next(iter(here.glob("runs/*/run.json")))
    path.write_text(path.read_text().replace('"value": ', '"value": 1', 1))
    status, out, err = cli(*words)
    again = json.loads(out)
    assert (status, "run.json" in err, again["scores"]) == (0, True, first["scores"])
    assert "sample" not in again["cost"]["seconds"]


def test_a_damaged_cache_is_named_and_made_again(here, cli, monkeypatch):
    """Features of real images that were altered on disk are named, computed again,
    and change no number.
    """
    monkeypatch.setenv("GENBENCH_HOME", str(here / "home"))
    words = ("run", "--plugin", "noise", "--n", "40", "--metrics", "fd", "--json")
    first = json.loads(cli(*words)[1])
    for path in (here / "home" / "features").glob("*.safetensors"):
        data = path.read_bytes()
        path.write_bytes(data[:-100] + b"\x00" * 100)
    status, out, err = cli(*words, "--fresh")
    assert (status, json.loads(out)["scores"]) == (0, first["scores"])
    assert "making it again" in err


def test_another_batch_size_goes_on_with_the_stored_one(here, cli):
    """A run begun with one batch size goes on with it, so that its images stay equal to the bit."""
    words = ("run", "--plugin", "noise", "--n", "40", "--json")
    cli(*words, "--metrics", "fd", "--batch-size", "3")
    found = json.loads(cli(*words, "--metrics", "fd,kd", "--batch-size", "7")[1])
    assert (found["plan"]["batch_size"], {s["metric"] for s in found["scores"]}) == (
        3,
        {"fd_digits", "kd_digits"},
    )


def test_a_generator_that_is_not_reproducible_is_named(here, cli):
    """A shard drawn again that differs from what its other probes saw is named,
    and all its probes are made again from the same images.
    """
    (here / "dice.py").write_text(
        "import os\nimport genbench\nimport torch\n\n\n@genbench.hookimpl\ndef sample(n):\n"
        "    noise = torch.frombuffer(bytearray(os.urandom(n * 192)), dtype=torch.uint8)\n"
        "    return noise.reshape(n, 3, 8, 8)\n"
    )
    words = ("run", "--plugin", "dice.py", "--n", "12", "--metrics", "fd")
    cli(*words)
    next(iter(here.glob("runs/*/run.json"))).unlink()
    lost = next(iter(sorted(here.glob("runs/*/shards/*.images.safetensors"))))
    lost.unlink()
    status, _, err = cli(*words)
    assert status == 0
    assert "is not reproducible here" in err
    assert load_file(lost)["images"].shape == (1, 3, 8, 8)


SLOW = (
    "import os\n"
    "import time\nimport genbench\nimport torch\n\n\n@genbench.hookimpl\ndef sample(n, seeds):\n"
    "    time.sleep(0 if os.path.exists('fast') else 2)\n"
    "    return (genbench.uniform(seeds, (3, 8, 8)) * 255).to(torch.uint8)\n"
)
SLOWLY = [
    sys.executable,
    "-m",
    "genbench",
    "run",
    "--plugin",
    "slow.py",
    "--n",
    "40",
    "--metrics",
    "fd",
    "--leaderboards",
    "none",
]


def _begun(folder: Path) -> subprocess.Popen[str]:
    """A slow run in a process of its own, after its first shard."""
    # what a shell starts in the background ignores Ctrl-C, and a child would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(
        SLOWLY, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not list(folder.glob("runs/*/shards/*.safetensors")):
        assert running.poll() is None
        time.sleep(0.05)
    return running


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_so_and_goes_on(sent, status, here):
    """Ctrl-C ends a run with 130 and SIGTERM with 143, each with one line;
    the same command goes on from the finished shards.
    """
    (here / "slow.py").write_text(SLOW)
    running = _begun(here)
    running.send_signal(sent)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, "the same command goes on" in err.splitlines()[-1]) == (
        status,
        True,
    )
    finished = _shards(here)
    (here / "fast").touch()  # the same plugin, and nobody has to catch it any more
    again = subprocess.run(
        [*SLOWLY, "--json"], cwd=here, capture_output=True, text=True, check=True
    )
    assert json.loads(again.stdout)["cost"]["images_drawn"] < 40
    assert finished.items() <= _shards(here).items()


def test_the_same_run_started_twice_waits_and_draws_once(here):
    """A second process with the same words waits for the first, says so,
    and prints the finished result.
    """
    (here / "slow.py").write_text(SLOW)
    running = _begun(here)
    second = subprocess.Popen(
        SLOWLY, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert "waiting for it" in second.stderr.readline()
    (here / "fast").touch()
    out, _ = running.communicate(timeout=60)
    same, err = second.communicate(timeout=60)
    assert (running.returncode, second.returncode, same) == (0, 0, out)
    assert "is finished" in err

"""`genbench run --on`: every engine makes the same bytes, one that loses a worker loses nothing,
and results roots may be URLs.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import pytest

import genbench
from genbench._util.cache import home
from genbench._util.checksummed_files import read_arrays, write_arrays
from genbench._util.errors import RunFailed
from genbench.api import _registry as registry
from genbench.api import engine
from genbench.api.engine import Wanted
from genbench.api.validation import RowError
from genbench.io import remote_storage
from genbench.runs.sampling import workers

PLUGIN = """
import ctypes, os, signal, time
from pathlib import Path
import torch, genbench
from genbench import noise

@genbench.hookimpl
def sample(n, seeds, labels):
    here, first = Path(__file__).parent, int(seeds[0])
    if n > 1:  # a single one is timed, by the run itself
        with (here / "pids").open("a") as file:
            file.write(f"{os.getpid()} ")
    if (here / "deadly").exists() and not (here / "died").exists():
        (here / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if (here / "hangs").exists() and first == 0:
        time.sleep(1000)  # here it hangs
    if (here / "crashes").exists() and first == 0:
        ctypes.string_at(0)  # here it crashes
    if (here / "slow").exists():
        (here / "begun").touch()
        time.sleep(1)
    return (noise(seeds, (3, 32, 32)) * 40 + 20 * labels[:, None, None, None] + 60).clip(0, 255).to(torch.uint8)
"""  # noqa: E501
N = 200  # 20 shards of ten
WORDS = ("--n", N, "--metrics", "kd", "--leaderboards", "none")


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_QUIET", "1")
    path = tmp_path / "drawn.py"
    path.write_text(PLUGIN)
    return path


def line_of(comment):
    return next(
        place for place, line in enumerate(PLUGIN.splitlines(), 1) if line.endswith(f"# {comment}")
    )


def shards(folder):
    return {path.name: path.read_bytes() for path in Path(folder).glob("shards/*.safetensors")}


def evaluated(plugin, out, n=N, **words):
    return genbench.evaluate(
        plugin, n=n, metrics=("kd",), out=out if "://" in str(out) else plugin.parent / out, **words
    )


def same(found, alone):
    return shards(found.folder) == shards(alone.folder) != {} and found.scores == alone.scores


def drawers(plugin):
    return set(map(int, (plugin.parent / "pids").read_text().split()))


# Workers that die, hang, crash


@pytest.mark.parametrize(
    ("fault", "why", "others"),
    [
        ("hangs", f"Timeout in {{}}, line {line_of('here it hangs')}", 19),
        ("crashes", f"Segmentation fault in {{}}, line {line_of('here it crashes')}", 19),
    ],
)
def test_a_shard_that_ends_its_worker_is_named_and_the_others_are_drawn(fault, why, others, plugin):
    """A shard that hangs longer than --shard-timeout, or whose process crashes each time,
    costs that shard alone; mended, the same command draws it.
    """
    (plugin.parent / fault).touch()
    with pytest.raises(RunFailed) as caught:
        evaluated(plugin, "runs", workers=1, shard_timeout=3.0 if fault == "hangs" else 60.0)
    assert str(caught.value).startswith("1 of 20 shards could not be drawn: b00-00000-010: ")
    assert why.format(plugin) in str(caught.value)
    assert os.getpid() not in drawers(plugin)
    (folder,) = (plugin.parent / "runs").iterdir()
    assert len(list(folder.glob("shards/*.images.safetensors"))) == others
    assert not (folder / "drawing").exists()
    (plugin.parent / fault).unlink()
    assert same(evaluated(plugin, "runs"), evaluated(plugin, "alone"))


def test_ctrl_c_stops_workers_at_once_and_the_same_command_goes_on(plugin, cli):
    """SIGINT to the whole group, as a terminal sends it: 130, one line, no worker is left,
    and what was drawn is taken over.
    """
    (plugin.parent / "slow").touch()
    words = [
        *map(
            str,
            ("run", "--plugin", plugin, *WORDS, "--workers", 2, "--out", plugin.parent / "runs"),
        )
    ]
    # which a shell takes from what it starts in the background
    heeds = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    start = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "start_new_session": True,
        "preexec_fn": heeds,
    }
    run = subprocess.Popen([sys.executable, "-m", "genbench", *words], **start)
    while not (plugin.parent / "begun").exists() or not list(
        plugin.parent.glob("runs/*/shards/[!.]*")
    ):
        assert run.poll() is None, run.communicate()
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out, err.strip()) == (
        130,
        "",
        "genbench: interrupted; the same command goes on",
    )
    assert not [pid for pid in drawers(plugin) if Path(f"/proc/{pid}").exists()]
    (plugin.parent / "slow").unlink()
    kept = shards(*(plugin.parent / "runs").iterdir())
    found, alone = evaluated(plugin, "runs"), evaluated(plugin, "alone")
    assert 0 < len(kept) < len(shards(alone.folder))
    assert same(found, alone)
    assert found.cost["images_drawn"] < N


# Engines for many machines, as far as one machine goes


@pytest.mark.timeout(600)  # Ray's own processes take their time on a machine that has other work
def test_ray_loses_a_worker_and_nothing_else(plugin):
    """A Ray cluster of this machine with two workers, one of which is killed:
    Ray repeats its task, and the bytes are those of one process.
    """
    alone = evaluated(plugin, "alone")
    (plugin.parent / "pids").unlink()
    (plugin.parent / "deadly").touch()
    found = evaluated(plugin, "ray", on="ray", workers=2)
    assert (plugin.parent / "died").exists()
    assert len(drawers(plugin)) >= 2
    assert os.getpid() not in drawers(plugin)
    assert same(found, alone)


def test_submitit_draws_in_jobs(plugin):
    """submitit, its local executor in SLURM's place: the jobs draw everything, each its piece;
    the logs lie beside the run.
    """
    alone = evaluated(plugin, "alone", n=20)
    (plugin.parent / "pids").unlink()
    found = evaluated(
        plugin, "jobs", n=20, on="slurm", workers=1, on_options=("cluster=local", "time=5")
    )
    assert len(drawers(plugin)) == 2
    assert os.getpid() not in drawers(plugin)
    assert same(found, alone)
    assert list(Path(found.folder).glob("slurm/*_log.out"))


def test_slurm_is_asked_for_what_was_said(monkeypatch, tmp_path):
    """The words of --on-option become submitit's parameters of one array,
    at most --workers of whose jobs run at once; a preempted piece is put in again.
    """
    submitit = pytest.importorskip("submitit")
    asked, jobs = {}, []

    class Slurm:
        def __init__(self, folder, cluster):
            asked.update(folder=folder, cluster=cluster)

        def update_parameters(self, **words):
            asked.update(words)

        def batch(self):
            return pytest.MonkeyPatch.context()  # any context

        def submit(self, piece):
            jobs.append(piece)
            return type(
                "Job", (), {"result": lambda self: piece(), "cancel": lambda self, check: None}
            )()

    monkeypatch.setattr(submitit, "AutoExecutor", Slurm)
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    slurm = registry.find("engines", "slurm")
    words = engine.options_of(slurm, ("partition=gpu", "time=60", "gpus=2", "account=us"))
    pool = slurm.start(Wanted(2, 8, "cuda", folder=tmp_path, options=words))
    first = pool.submit(divmod, 7, 2)
    assert not jobs
    second = pool.submit(divmod, 9, 2)
    assert (first.result(10), second.result(10)) == ((3, 1), (4, 1))
    told = {
        "slurm_partition": "gpu",
        "timeout_min": 60,
        "gpus_per_node": 2,
        "slurm_account": "us",
        "slurm_array_parallelism": 8,
        "cluster": "slurm",
    }
    assert told.items() <= asked.items()
    again = jobs[0].checkpoint()
    assert (again.function, again.function()) == (jobs[0], (3, 1))


def test_an_engine_whose_workers_never_begin_says_why(plugin, cli, tmp_path):
    """Where every call fails before a shard is begun, the run ends in a line with the engine's own
    reason, and tries no shard alone.
    """
    (tmp_path / "own.py").write_text(
        "from concurrent.futures import ThreadPoolExecutor\nfrom genbench.api import Engine\n"
        "class Broken(ThreadPoolExecutor):\n    def submit(self, fn, /, *args):\n"
        "        return super().submit(open, '/no/such/queue')\n"
        'BROKEN = Engine(name="broken", title="fails", start=lambda wanted: Broken(1), '
        "workers=lambda wanted: 1)\n"
    )
    status, out, err = cli(
        "run",
        "--plugin",
        plugin,
        *WORDS,
        "--with",
        tmp_path / "own.py",
        "--on",
        "broken",
        "--out",
        tmp_path / "runs",
    )
    assert (status, out, err.count("\n")) == (5, "", 1)
    assert (
        "--on broken: no worker got as far as a shard: FileNotFoundError: "
        "[Errno 2] No such file or directory: '/no/such/queue'"
    ) in err


ELSEWHERE = """
from concurrent.futures import ThreadPoolExecutor
from genbench.api import Engine
from genbench.runs.sampling.workers import Drew

class Elsewhere(ThreadPoolExecutor):
    def submit(self, fn, /, job, names):
        return super().submit(Drew, 10, {})

ELSEWHERE = Engine(name="elsewhere", title="draws where nobody looks", start=lambda wanted: Elsewhere(1), workers=lambda wanted: 1)
"""  # noqa: E501


def test_shards_that_lie_elsewhere_are_missed(plugin, cli, tmp_path, monkeypatch):
    """Workers that say they drew, into a folder of their own:
    status 5 and what to do, and nothing is drawn a second time in silence.
    """
    monkeypatch.setattr(workers, "PATIENCE", 1)
    (tmp_path / "own.py").write_text(ELSEWHERE)
    status, out, err = cli(
        "run",
        "--plugin",
        plugin,
        *WORDS,
        "--with",
        tmp_path / "own.py",
        "--on",
        "elsewhere",
        "--out",
        tmp_path / "runs",
    )
    assert (status, out, err.count("\n")) == (5, "", 1)
    assert "it must be one folder for all of them; else --out URL" in err
    assert not (tmp_path / "pids").exists()


def test_what_a_cluster_refuses_is_a_line(monkeypatch, tmp_path):
    """As where SLURM knows no such partition."""
    submitit = pytest.importorskip("submitit")

    def refused(self, piece):
        raise submitit.core.utils.FailedJobError("sbatch: error: invalid partition specified: gpux")

    monkeypatch.setattr(submitit.AutoExecutor, "submit", refused)
    pool = registry.find("engines", "slurm").start(
        Wanted(1, 1, folder=tmp_path, options={"cluster": "local"})
    )
    with pytest.raises(
        RunFailed,
        match=(
            "--on slurm: the jobs were not taken: sbatch: error: invalid partition specified: gpux"
        ),
    ):
        pool.submit(divmod, 7, 2)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--on", "rya"), "unknown engine 'rya': did you mean ray?"),
        (("--on", "slurm"), "--on slurm: how many jobs at once? --workers N"),
        (("--on", "slurm", "--workers", 2), "--on slurm: there is no sbatch here"),
        (
            ("--on", "local", "--partition", "gpu"),
            "--on local: 'partition=gpu' is no option NAME=VALUE of it",
        ),
        (("--partition", "gpu"), "--partition and --on-option are words to an engine: name it too"),
        (
            ("--on", "slurm", "--workers", 2, "--on-option", "time"),
            "--on slurm: --on-option time wants a value: time=VALUE, ",
        ),
        (
            (
                "--on",
                "slurm",
                "--workers",
                2,
                "--on-option",
                "cluster=local",
                "--on-option",
                "time=soon",
            ),
            "--on-option time=soon: a whole number from 1 on",
        ),
        (("--on", "ray", "--shard", "1/2"), "--shard draws in this process"),
        (("--shard-timeout", "0"), "--shard-timeout 0.0: seconds, more than 0"),
        (("--out", "nowhere://x"), "--out nowhere://x: "),
        (("--out", "s3://"), "s3:// is no URL of a place"),
        (("--out", "://x"), "://x is no URL of a place"),
    ],
)
def test_an_engine_that_cannot_be_had_is_refused_in_a_line(words, line, plugin, cli, monkeypatch):
    monkeypatch.setenv("PATH", "")
    status, out, err = cli(
        "run", "--plugin", plugin, *WORDS, "--out", plugin.parent / "runs", *words
    )
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"genbench: {line}")


@pytest.mark.parametrize("wrong", [{"name": "No Name"}, {"title": ""}, {"workers": None}])
def test_a_row_of_an_engine_refuses_itself_when_wrong(wrong):
    with pytest.raises(RowError):
        engine.Engine(
            **{"name": "mine", "title": "mine", "start": print, "workers": print, **wrong}
        )


# Results roots that are URLs


@pytest.fixture(params=["memory", "file"])
def root(request, tmp_path):
    fsspec.filesystem("memory").store.clear()
    return (
        f"memory://bucket-{tmp_path.name}/runs"
        if request.param == "memory"
        else f"file://{tmp_path}/bucket/runs"
    )


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """machine(name): from now on this process has the cache, and so the copies,
    of a machine of this name.
    """
    shared = os.environ["GENBENCH_HOME"]

    def call(name):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        if not (folder / "features").exists():
            (folder / "features").symlink_to(Path(shared, "features"))
        monkeypatch.setenv("GENBENCH_HOME", str(folder))

    return call


def below(root, run):
    store, key = fsspec.core.url_to_fs(f"{root}/{run}")
    return {path.removeprefix(key).lstrip("/"): store.cat_file(path) for path in store.find(key)}


def test_a_run_below_a_url_is_taken_over_by_another_machine(root, plugin, machine, cli):
    """Everything stands below the URL, each shard with its marker;
    a machine that has nothing takes it over, draws nothing, and has the same bytes.
    """
    alone = evaluated(plugin, "alone")
    machine("first")
    found = evaluated(plugin, root)
    assert same(found, alone)
    there = below(root, found.id)
    assert {"plan.json", "run.json", "samples.png"} <= set(there)
    assert {
        name.removeprefix("shards/"): data
        for name, data in there.items()
        if name.endswith(".safetensors")
    } == shards(alone.folder)
    assert len([name for name in there if name.endswith(remote_storage.MARK)]) == 20
    machine("third")
    status, said, err = cli("show", f"{root}/{found.id}", "--json")
    assert (status, json.loads(said)["id"]) == (0, found.id), err
    (plugin.parent / "pids").unlink()
    machine("second")
    again = evaluated(plugin, root)
    assert not (plugin.parent / "pids").exists()
    assert (again.folder != found.folder, again.scores) == (True, found.scores)


def test_what_is_torn_below_a_url_is_drawn_again(root, plugin, machine, capfd):
    """A shard without its marker, or with one cut short, is none;
    one whose file is not what the marker says is named; all are drawn and put there again.
    """
    alone = evaluated(plugin, "alone")
    machine("first")
    found = evaluated(plugin, root)
    before = below(root, found.id)
    store, key = fsspec.core.url_to_fs(f"{root}/{found.id}")
    marks = sorted(name for name in before if name.endswith(remote_storage.MARK))
    files = sorted(name for name in before if name.endswith(".images.safetensors"))
    store.rm_file(f"{key}/{marks[0]}")
    store.pipe_file(f"{key}/{marks[1]}", before[marks[1]][:-9])
    store.pipe_file(f"{key}/{files[2]}", before[files[2]][:-9])
    store.rm_file(f"{key}/run.json")
    (plugin.parent / "pids").unlink()
    machine("second")
    again = evaluated(plugin, root)
    assert same(again, alone)
    assert again.cost["images_drawn"] == 30
    assert (
        f"damaged shard: {root}/{found.id}/{files[2]} is not what its marker says"
        in capfd.readouterr().err
    )
    # which says when
    assert {name for name, data in below(root, found.id).items() if before[name] != data} <= {
        "run.json"
    }


def test_a_file_that_is_just_being_put_below_a_url_is_not_damaged(
    plugin, machine, tmp_path, monkeypatch, capfd
):
    """Another machine writes it anew while this one reads:
    half of it is there at first, all of it a moment later.
    """
    root = f"file://{tmp_path}/bucket"
    machine("first")
    found = evaluated(plugin, root)
    torn = next(
        path for path in sorted((tmp_path / "bucket" / found.id / "shards").glob("*.safetensors"))
    )
    content = torn.read_bytes()
    torn.write_bytes(content[:-9])
    monkeypatch.setattr(
        remote_storage.time,
        "sleep",
        lambda seconds: torn.write_bytes(content) if seconds == remote_storage.AGAIN else None,
    )
    machine("second")
    remote_storage.opened(root, found.id).pull()
    assert shards(remote_storage.opened(root, found.id).folder) == shards(found.folder)
    assert "damaged" not in capfd.readouterr().err


def test_what_is_lost_of_a_finished_run_below_a_url_is_drawn_again(plugin, machine, tmp_path, cli):
    """Merging names it, leaves it out and touches nothing there;
    the same run on a machine without a copy puts it there again, its numbers unmoved.
    """
    root = f"file://{tmp_path}/bucket"
    machine("first")
    found = evaluated(plugin, root)
    before = below(root, found.id)
    torn = next(name for name in sorted(before) if name.endswith(".images.safetensors"))
    (tmp_path / "bucket" / found.id / torn).write_bytes(before[torn][:-9])
    machine("second")
    status, said, err = cli("merge", root, "--out", tmp_path / "merged")
    assert (status, "in 39 files, 39 of them new" in said) == (0, True), err
    assert f"{torn} is not what its marker says; left out, the run draws it again" in err
    assert {name for name, data in below(root, found.id).items() if before[name] != data} == {torn}
    again = evaluated(plugin, root)
    assert (again.scores, again.cost["images_drawn"]) == (found.scores, 10)
    # which says when
    assert {name for name, data in below(root, found.id).items() if before[name] != data} <= {
        "run.json"
    }


def test_a_machine_that_has_a_finished_run_puts_what_is_lost_below_its_url(
    plugin, machine, tmp_path
):
    """A marker that is gone, and a file that was cut short:
    the same words put both there again, and draw nothing.
    """
    root = f"file://{tmp_path}/bucket"
    machine("first")
    found = evaluated(plugin, root)
    before, there = below(root, found.id), tmp_path / "bucket" / found.id
    marks = sorted(name for name in before if name.endswith(remote_storage.MARK))
    files = sorted(name for name in before if name.endswith(".safetensors"))
    (there / marks[0]).unlink()
    (there / files[-1]).write_bytes(before[files[-1]][:-9])
    (plugin.parent / "pids").unlink()
    evaluated(plugin, root)
    assert not (plugin.parent / "pids").exists()
    after = below(root, found.id)
    assert {name: after.get(name) for name in before} == before


@pytest.mark.parametrize(("said", "replaced"), [({}, False), ({"device": "cuda"}, True)])
def test_a_shard_drawn_differently_below_a_url_is_named_and_the_first_kept(
    said, replaced, plugin, machine, tmp_path, capfd
):
    """Two machines whose generator is not reproducible: the second hears of it,
    and does not overwrite.

    What was made on another device is replaced.
    """
    root = f"file://{tmp_path}/bucket"
    machine("first")
    found = evaluated(plugin, root)
    before = below(root, found.id)
    place = remote_storage.Place(tmp_path / "elsewhere" / found.id, root)
    name = next(name for name in sorted(before) if name.endswith(".images.safetensors"))
    arrays, meta = read_arrays(Path(found.folder, name))
    write_arrays(
        place.folder / name, {"images": 255 - arrays["images"]}, {**meta, "images": "other", **said}
    )
    (place.folder / "run.json").write_bytes(b"other")
    place.push()
    shard, after = Path(name).name.partition(".")[0], below(root, found.id)
    assert (f"drawn differently: shard {shard}" in capfd.readouterr().err) is not replaced
    assert (after == before) is not replaced
    if replaced:
        assert (after[name], after["run.json"]) == ((place.folder / name).read_bytes(), b"other")
        machine("second")
        remote_storage.opened(root, found.id).pull()
        assert next((home() / "copies").rglob(Path(name).name)).read_bytes() == after[name]


def test_a_folder_is_no_url(cli, here):
    """Where a command wants a folder, a URL is refused, and no folder of that name is made."""
    (here / "one" / "run").mkdir(parents=True)
    (here / "one" / "run" / "plan.json").write_text("{}")
    assert cli("merge", "one", "--out", "s3://bucket/runs") == (
        2,
        "",
        "genbench: --out s3:/bucket/runs is a URL; name a folder here\n",
    )
    assert [path.name for path in here.iterdir()] == ["one"]


def test_workers_and_shares_meet_below_a_url(plugin, machine, tmp_path, cli):
    """A share drawn on one machine, the rest by two workers of another, all below one URL;
    merge brings it into a folder; --fresh begins anew.
    """
    root = f"file://{tmp_path}/bucket"
    alone = evaluated(plugin, "alone")
    machine("first")
    assert cli("run", "--plugin", plugin, *WORDS, "--shard", "1/2", "--out", root)[0] == 0
    machine("second")
    found = evaluated(plugin, root, workers=2)
    assert found.cost["images_drawn"] == N // 2
    assert same(found, alone)
    machine("third")
    assert cli("merge", root, "--out", tmp_path / "merged")[0] == 0
    assert shards(tmp_path / "merged" / found.id) == shards(alone.folder)
    assert evaluated(plugin, root, fresh=True).cost["images_drawn"] == N


def test_a_store_that_says_no_costs_no_sample(plugin, machine, tmp_path, monkeypatch):
    """A store that fails in the middle ends the run with a line that says where everything is;
    when it works again nothing is drawn twice.
    """
    root = f"file://{tmp_path}/bucket"
    machine("first")
    local = type(fsspec.filesystem("file"))
    real, calls = local.pipe_file, []

    def failing(self, path, value, **words):
        calls.append(path)
        if len(calls) > 12:
            raise OSError(28, "No space left on device")
        return real(self, path, value, **words)

    monkeypatch.setattr(local, "pipe_file", failing)
    with pytest.raises(
        RunFailed,
        match=(
            r"No space left on device; what was drawn is kept in .*, and once the place can be "
            r"written the same command goes on"
        ),
    ):
        evaluated(plugin, root)
    drawn = len((plugin.parent / "pids").read_text().split())
    monkeypatch.setattr(local, "pipe_file", real)
    found = evaluated(plugin, root)
    assert 0 < found.cost["images_drawn"] == N - 10 * drawn
    assert same(found, evaluated(plugin, "alone"))

"""What the tests share: one cache for the session, the command line in process and in processes of
its own, the real material.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from helpers.requirements import MISSING, NO_BROWSER, NO_NAMESPACES, _shared, chromium

from genbench.api import _registry as registry

# small work on few cores: more threads only wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")
# set by commands, for every process of theirs
VARIABLES = ("GENBENCH_QUIET", "GENBENCH_DATA", "GENBENCH_ON_BAD_IMAGE")
SLOW = ("test_parity_whole.py", "test_parity_distances.py")
HEAVY = ("torch", "pandas", "scipy", "sklearn", "matplotlib", "numpy", "PIL", "jinja2")
# Several commands in one process: [status, standard output, standard error, heavy libraries
# imported by then] of each, as JSON.
SEVERAL = f"""
import contextlib, io, json, sys
import genbench
found = [[0, "", "", [m for m in {HEAVY} if m in sys.modules]]]
from genbench.cli.main import main
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        status = main(words)
    found.append([status, out.getvalue(), err.getvalue(), [m for m in {HEAVY} if m in sys.modules]])
print(json.dumps(found[1:] or found))
"""  # noqa: E501


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory):
    """One cache folder for the whole session, and never the user's own."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENBENCH_HOME", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    """No test hears of another: --quiet is an environment variable, --with a list,
    and the command line handles SIGTERM.

    The variables are taken away, not put back: a module's fixture that ran a command with --quiet
    has set them for every later module.
    """
    for name in VARIABLES:
        os.environ.pop(name, None)
    monkeypatch.setattr(registry, "_with", [])
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for name in VARIABLES:
        os.environ.pop(name, None)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(capfd):
    """The command line in this process:
    cli(*words) -> (status, standard output, standard error).
    """
    from genbench.cli.main import main

    def call(*words):
        capfd.readouterr()
        status = main([str(word) for word in words])
        return (status, *capfd.readouterr())

    return call


def _process(words, env, cwd):
    whole = {**os.environ, **{name: str(value) for name, value in (env or {}).items()}}
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=whole,
        cwd=cwd,
        timeout=280,
    )


@pytest.fixture(scope="session")
def cli_process():
    """The command line in a process of its own: cli_process(*words, env={...}, cwd=...) -> the
    completed process, its streams as text.
    """

    def call(*words, env=None, cwd=None):
        return _process(["-m", "genbench", *words], env, cwd)

    return call


@pytest.fixture(scope="session")
def several():
    """Several commands in one fresh process: several(words, words, ..., env, cwd) -> [(status, out,
    err, heavy libraries imported by then)] of each.

    Without commands: the one answer of `import genbench`.
    """

    def call(*commands, env=None, cwd=None):
        done = _process(
            ["-c", SEVERAL, json.dumps([[str(word) for word in words] for words in commands])],
            env,
            cwd,
        )
        assert done.returncode == 0, done.stderr
        return [tuple(one) for one in json.loads(done.stdout.splitlines()[-1])]

    return call


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real material; only tests marked `shared` may ask for it."""
    folder = _shared()
    assert folder is not None, "mark the test with pytest.mark.shared"
    return folder


def pytest_collection_modifyitems(items):
    """Files that take minutes go first, so that no process ends alone with one."""
    items.sort(key=lambda item: item.path.name not in SLOW)


def pytest_runtest_setup(item):
    if item.get_closest_marker("shared") and _shared() is None:
        pytest.skip(f"{MISSING}: set GENBENCH_TEST_DATA")
    if item.get_closest_marker("browser") and chromium() is None:
        pytest.skip(f"{NO_BROWSER}: needs playwright and chromium, or $GENBENCH_CHROMIUM")


def pytest_terminal_summary(terminalreporter):
    left_out = [
        report.nodeid
        for report in terminalreporter.getreports("skipped")
        if MISSING in str(report.longrepr)
    ]
    if left_out:
        terminalreporter.write_line(f"not run: {MISSING}: {', '.join(left_out)}")
    unseen = [
        report.nodeid
        for report in terminalreporter.getreports("skipped")
        if NO_BROWSER in str(report.longrepr)
    ]
    if unseen:
        terminalreporter.write_line(f"{NO_BROWSER}: {', '.join(unseen)}")
    closed = [
        report.nodeid
        for report in terminalreporter.getreports("skipped")
        if NO_NAMESPACES in str(report.longrepr)
    ]
    if closed:
        terminalreporter.write_line(f"{NO_NAMESPACES}: {', '.join(closed)}")

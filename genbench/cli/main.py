"""The command line: names from the shelf of commands, errors to one line, exit statuses.

0 done · 1 a regression was shown · 2 the user's words or files are wrong · 3 not comparable or
missing · 4 inconclusive · 5 the run failed · 130/143 interrupted, run again to go on.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import click

from genbench._util import exit_codes
from genbench._util.console import complain
from genbench._util.did_you_mean import choices
from genbench._util.errors import PluginFailed, UserError
from genbench._util.formatting import clean
from genbench._util.package_version import VERSION
from genbench.api import _registry as registry

# the user named a path that cannot be
PATHS = {errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.ENOTDIR, errno.EISDIR, errno.ENOENT}
LONGEST = 800  # characters of a line of error; a word of five thousand letters is not repeated


class Commands(click.Group):
    """A group whose commands are the files of genbench/commands and entry points;
    each is imported when it is named or listed.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(registry.standing("commands"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        one = registry.standing("commands").get(cmd_name)
        if one is None:
            return None
        found: Any = registry.load(one)
        command = getattr(found, "command", found)
        if not isinstance(command, click.Command):
            raise UserError(
                f"command {cmd_name} from {one.origin} has no click command named `command`"
            )
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise UserError(
                f"unknown command {args[0]!r}: {choices(args[0], self.list_commands(ctx))}"
            )
        return super().resolve_command(ctx, args)


def _quiet(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        os.environ["GENBENCH_QUIET"] = "1"


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 160}
)
@click.version_option(VERSION, prog_name="genbench")
@click.option(
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_quiet,
    help="No progress and no remarks on standard error.",
)
def group() -> None:
    """Evaluate and benchmark image generators: a plugin with a sample(n) hook goes in,
    numbers with intervals come out.

    \b
    genbench run --plugin ddpm --dataset digits
    """


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    for name in ("stdout", "stderr"):
        # closed by the caller: what is said is lost, the work is not
        if getattr(sys, name) is None:
            setattr(sys, name, io.StringIO())
        with contextlib.suppress(AttributeError):
            # a terminal that knows ASCII alone shall not end a run
            getattr(sys, name).reconfigure(errors="backslashreplace")
    # not in the main thread: then somebody else handles signals
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGTERM, _terminated)
    try:
        return _status(group.main(args=words, prog_name="genbench", standalone_mode=False))
    except UserError as error:
        if isinstance(error, PluginFailed) and error.trace:
            complain(error.trace.rstrip())
        complain(f"genbench: {_one_line(error)}")
        return error.status
    except click.exceptions.NoArgsIsHelpError as error:
        complain(error.format_message())
        return exit_codes.USAGE
    except click.UsageError as error:
        asked = error.ctx.command_path if error.ctx else "genbench"
        complain(f"genbench: {_one_line(error.format_message())} ({asked} --help)")
        return exit_codes.USAGE
    except (KeyboardInterrupt, click.Abort) as error:
        with contextlib.suppress(ValueError):
            # pressed again, and again: it is being done
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        # click turns every KeyboardInterrupt into Abort
        ended = isinstance(error, Terminated) or isinstance(error.__cause__, Terminated)
        complain(f"genbench: {'terminated' if ended else 'interrupted'}; the same command goes on")
        return exit_codes.INTERRUPTED[signal.SIGTERM if ended else signal.SIGINT]
    except BrokenPipeError:  # the reader of our output has gone, which is its right
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.DONE
    except OSError as error:
        complain(f"genbench: {_one_line(error)}")
        return exit_codes.USAGE if error.errno in PATHS else exit_codes.RUN_FAILED
    except SystemExit as error:
        complain(
            f"genbench: something that was called exited ({error.code}); what was finished is kept"
        )
        return exit_codes.RUN_FAILED
    except Exception as error:
        return _fault(error)


def _status(returned: object) -> int:
    return returned if isinstance(returned, int) else exit_codes.DONE


def _fault(error: Exception) -> int:
    """What nobody foresaw."""
    import traceback

    if isinstance(error, MemoryError):
        complain("genbench: out of memory; what was finished is kept, and the same command goes on")
        return exit_codes.RUN_FAILED
    complain("".join(traceback.format_exception(error)).rstrip())
    complain(
        "genbench: this is a fault of genbench itself; what was finished is kept, "
        "please report the lines above"
    )
    return exit_codes.RUN_FAILED


def _one_line(error: object) -> str:
    line = clean(" ".join(str(error).split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"


class Terminated(KeyboardInterrupt):
    """SIGTERM; a KeyboardInterrupt, which plugins let pass."""


def _terminated(number: int, frame: object) -> None:
    raise Terminated

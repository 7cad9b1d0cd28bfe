"""`genbench human`: people look at the samples, and what they say is a number with an interval."""

from __future__ import annotations

import json
from pathlib import Path

import click

KINDS = ("real-or-fake", "which-is-real", "which-is-better", "rating")
STUDY = click.Path(path_type=Path)


@click.group()
def command() -> None:
    """Ask people: real or fake, which is real, which is better, or ratings.

    \b
    genbench human new study.db --run RUN --run RUN
    genbench human serve study.db
    genbench human results study.db
    """


@command.command()
@click.argument("study", type=STUDY, metavar="STUDY.db")
@click.option(
    "--run",
    "runs",
    multiple=True,
    required=True,
    metavar="RUN",
    help="A run folder, or the beginning of an id; several, or commas.",
)
@click.option(
    "--kind", type=click.Choice(KINDS), default=KINDS[0], show_default=True, help="What is asked."
)
@click.option(
    "--questions",
    type=click.Path(path_type=Path),
    metavar="FILE.toml",
    help="[[question]] text = ...; for ratings also name, points, low, high.",
)
@click.option(
    "--trials",
    type=click.IntRange(5, 2000),
    default=100,
    show_default=True,
    help="Of each rater, one in ten a catch trial.",
)
@click.option(
    "--raters",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    help="How many are planned; the design says so beforehand.",
)
@click.option(
    "--pictures",
    type=click.IntRange(10),
    help="Of each run, drawn at random. [default: 200; of a rating 40, so that raters meet]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="Of which pictures, and of every order.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder of run folders.",
)
def new(
    study: Path, runs: tuple[str, ...], kind: str, questions: Path | None, trials: int, raters: int,
    pictures: int | None, seed: int, out: Path
) -> None:  # fmt: skip
    """Make a study: pictures of finished runs and real ones, blind,
    and the design as it is registered.
    """
    from genbench._util.console import answer
    from genbench.human.create_study import Words, made
    from genbench.human.study_kinds import KINDS as KNOWN
    from genbench.human.study_kinds import questions_of
    from genbench.runs.records.find import find

    named = [word for one in runs for word in ([one] if Path(one).exists() else one.split(","))]
    asked = questions_of(KNOWN[kind], questions)
    design = made(
        study,
        [find(word, out) for word in named],
        Words(
            KNOWN[kind], asked, trials, raters, pictures or (40 if kind == "rating" else 200), seed
        ),
    )
    models = ", ".join(f"{one['name']} ({one['pictures']})" for one in design["models"])
    real = design["real"]
    answer(
        f"{study}: {kind}; {models}; real: {real['dataset']} {real['split']} ({real['pictures']}); "
        f"{design['trials']} trials a rater, {raters} raters\n"
        f"registered as {design['digest']}\n"
        f"genbench human serve {study}"
    )


@command.command()
@click.argument("study", type=STUDY, metavar="STUDY.db")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    help="0: any that is free.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="An address of this machine; another than this machine's own needs:",
)
@click.option(
    "--unsafe-expose",
    is_flag=True,
    help="Let other machines reach the page: unencrypted, everybody with the link may answer.",
)
def serve(study: Path, port: int, host: str, unsafe_expose: bool) -> None:
    """Show a study to raters: the link that is printed leads in. Ctrl-C ends it;
    nothing is lost, and the same command goes on.
    """
    from genbench._util.errors import UserError
    from genbench.human.store import Store

    store = Store(study)
    try:
        from genbench.human import server
    except ImportError as error:
        raise UserError(
            f'genbench human serve needs pip install "genbench[human]" ({error.name} is missing)'
        ) from None
    server.serve(store, host, port, exposed=unsafe_expose)


@command.command()
@click.argument("study", type=STUDY, metavar="STUDY.db")
@click.option(
    "--record",
    "recorded",
    is_flag=True,
    help="Write the numbers into the runs' records, and on their boards.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder of run folders.",
)
@click.option(
    "--leaderboards",
    default="leaderboards",
    show_default=True,
    metavar="FOLDER|none",
    help="The folder of boards.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def results(study: Path, recorded: bool, out: Path, leaderboards: str, as_json: bool) -> None:
    """What the raters said: errors, d' and criterion, preferences or ratings,
    each with an interval over raters and pictures.
    """
    from genbench._util.console import answer, tell
    from genbench.human import answers, paired_comparison, render
    from genbench.human import results as human_results
    from genbench.human.store import Store

    read = answers.read(Store(study))
    if read.design["kind"] in ("which-is-better", "rating"):
        paired_comparison.present()
    found = human_results.found(read)
    if recorded:
        from genbench.human import record_results

        for line in record_results.enter(
            read.design, found, out, None if leaderboards == "none" else Path(leaderboards)
        ):
            tell(line)
    answer(
        json.dumps(human_results.plain(found), indent=1, ensure_ascii=False, allow_nan=False)
        if as_json
        else render.as_text(str(study), found)
    )


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.csv")
@click.argument("study", type=STUDY, required=False, metavar="[STUDY.db]")
def import_(file: Path, study: Path | None) -> None:
    """A study made elsewhere, in the columns of the published study of 41 models:
    id, model, num_correct, err_rt, f_err_rt, r_err_rt, ...
    """
    from genbench._util.console import answer
    from genbench.human.csv_formats import imported

    to = study or file.with_suffix(".db")
    count = imported(file, to)
    answer(f"{to}: {count} rows\ngenbench human results {to}")


@command.command()
@click.argument("study", type=STUDY, metavar="STUDY.db")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.csv")
def export(study: Path, file: Path) -> None:
    """A real-or-fake study in the columns of the published study of 41 models,
    one row to a rater and model.
    """
    from genbench._util.console import answer
    from genbench.human.answers import read
    from genbench.human.csv_formats import exported
    from genbench.human.store import Store

    answer(f"{file}: {exported(read(Store(study)), file)} rows")

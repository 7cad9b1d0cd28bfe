"""Leaderboards: entries/<id>.json are the truth, table.csv and README.md are rewritten from them.

Fifty processes may enter at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genbench._util.atomic_write import folder_to_write, sweep, write
from genbench._util.checksummed_files import Damaged, read_json, write_json
from genbench._util.console import complain
from genbench._util.errors import UserError
from genbench._util.formatting import cell_of_csv, clean
from genbench._util.lazy_imports import pd
from genbench._util.locks import locked
from genbench.api.protocol import Published
from genbench.leaderboards import methods
from genbench.leaderboards.entries import Entry, board_name, entries, entry_of, number, others_of
from genbench.leaderboards.ranking import metrics_of, ordered, sorting
from genbench.leaderboards.tables import cell, escaped, markdown, shown
from genbench.runs.records import record
from genbench.runs.records.record import Record, Score, content_of

T19 = 2.093  # the 97.5 % point of t with 19 degrees of freedom
NEAREST = "-nearest.png"  # after an entry's id
REPRODUCED = "reproduced"  # in a board's folder: the verdicts of `genbench reproduce`, by entry
# in a board's folder: what its entries were made to show, written by people or their scripts
FINDINGS = "finding*.md"
# two measurements of one thing on two processors agree to this, relative to the value or its
# standard error
SAME = 1e-3
MADE = "Rewritten from `entries/` by `genbench run`; do not edit."
LEGEND = (
    "± is half a 95 % interval over the generator's samples, against this reference. Rank: "
    "simultaneous 95 % range by the first number. Not ranked are lines of reference, runs off the "
    "protocol's n or labels, and entries measured with an older reference, extractor or formula."
)


def enter(found: Record, root: Path) -> list[str]:
    """Enter a record on one board per protocol, under the board's lock; the boards' names.

    The entry is whole before the table is rewritten.

    Numbers that are a ruler only (another n, label policy, quantisation or precision than the
    protocol's, foreign weights) enter no board, but for the n or labels of the protocol that the
    run was drawn for: there they stand without a rank.
    """
    names = []
    for name, protocol in found.plan["protocols"].items():
        if not protocol.get("board", True):
            continue
        entry = entry_of(found, name, protocol)
        board = folder_to_write(root / board_name(protocol["dataset"], name), "--leaderboards")
        with locked(board / ".lock", f"another genbench writes {board}; waiting for it"):
            sweep(board)
            _keep(entry, folder_to_write(board / "entries", "--leaderboards"), Path(found.folder))
            _rewrite(board)
        names.append(board.name)
    return names


def attach(found: Record, verdict: Mapping[str, Any], root: Path) -> list[str]:
    """Put a verdict of `genbench reproduce` beside every entry that says what the record says,
    reproduced/<entry id>.json; the boards.

    Their pages say so.
    """
    names = []
    for name, protocol in found.plan["protocols"].items():
        entry = entry_of(found, name, protocol)
        board = root / board_name(protocol["dataset"], name)
        content = content_of(entry.record)
        path = board / "entries" / f"{entry.id}.json"
        # of an entry that says something else the verdict says nothing
        if not path.is_file() or content_of(record.read(path)) != content:
            continue
        with locked(board / ".lock", f"another genbench writes {board}; waiting for it"):
            write_json(
                folder_to_write(board / REPRODUCED, "--leaderboards") / f"{entry.id}.json",
                {**verdict, "content": content},
            )
            _rewrite(board)
        names.append(board.name)
    return names


def _reproduced(board: Path, found: Sequence[Entry]) -> list[str]:
    """A line to each entry that was drawn again and still says what it said then."""
    lines = []
    for entry in found:
        try:
            said = read_json(board / REPRODUCED / f"{entry.id}.json")
            bits = all(one["verdict"] in ("equal", "holds") for one in said["checks"])
            how = (
                "to the bit"
                if bits
                else "within tolerance"
                if said["verdict"] == "reproduced"
                else "its checks differ"
            )
            if said["content"] == content_of(entry.record):
                where = (
                    "another machine"
                    if said["machine"] == "another"
                    else "a machine of the same kind"
                )
                again = any(
                    one["what"][:6] != "shard " and not one["what"].endswith(": interval")
                    for one in said["checks"]
                )
                how += "" if again else " in its images; its numbers were not taken again"
                drawn = (
                    f"{said['drawn']} of {said['of']} shards drawn again, "
                    f"seed {said['seed']}, on {where}"
                )
                lines.append(
                    f"- {escaped(entry.label)}: **{escaped(said['verdict'])}**, {how}; "
                    f"{escaped(drawn)}, {escaped(said['created'][:10])}."
                )
        except FileNotFoundError:
            continue
        except (Damaged, KeyError, TypeError) as error:
            complain(f"damaged verdict left out: {error}")
    return ["## Reproduced", "\n".join(lines)] if lines else []


def _keep(entry: Entry, folder: Path, run: Path) -> None:
    path = folder / f"{entry.id}.json"
    if _agrees(path, entry):
        return
    for name, ending in (("samples.png", ".png"), ("nearest.png", NEAREST)):
        if (run / name).is_file():
            write(path.with_name(f"{entry.id}{ending}"), (run / name).read_bytes())
    record.write(path, entry.record)


def _agrees(path: Path, entry: Entry) -> bool:
    """Whether an entry says the same already by the same formulas, or the same and more:
    then it is left, and running README's command in a checkout changes nothing.
    """
    try:
        theirs = record.read(path)
    except FileNotFoundError:
        return False
    except (Damaged, UserError) as error:
        complain(f"damaged entry: {error}; writing it again")
        return False
    known = {(one.metric, one.part): one for one in theirs.scores}
    same = theirs.plan.get("tuned") == entry.record.plan.get("tuned") and theirs.plan.get(
        "method", ""
    ) == entry.record.plan.get("method", "")
    same &= all(
        (one.metric, one.part) in known and _same(one, known[one.metric, one.part])
        for one in entry.record.scores
    )
    return same and entry.comparable(Entry(path.stem, theirs))


def _same(a: Score, b: Score) -> bool:
    """Whether two scores agree in status, flags and, to SAME, in every number that people read."""
    if (a.status, a.flags, a.value is None) != (b.status, b.flags, b.value is None):
        return False
    slack = SAME * max(abs(a.value or 0.0), a.se or 0.0)
    pairs = [
        (getattr(a, key), getattr(b, key))
        for key in ("value", "low", "high", "se", "se_reference", "real", "real_high")
    ]
    return all((x is None) == (y is None) and (x is None or abs(x - y) <= slack) for x, y in pairs)


def _rewrite(board: Path) -> None:
    """table.csv, methods.csv where any has two trainings, and README.md from the entries;
    files that would not change are left untouched.
    """
    found = entries(board)
    if not found:  # the one that there is cannot be read at this moment, which was said
        return
    sort = sorting(found, None)
    others = others_of(board, found)
    texts = {
        "table.csv": shown(found, sort, "csv", others),
        "README.md": readme(board, found, sort, others),
    }
    if several := methods.numbers(_ranked(found), metrics_of(found)):
        told = [
            {
                key: cell_of_csv(value) if isinstance(value, str) else value
                for key, value in row.items()
            }
            for row in several
        ]
        texts["methods.csv"] = str(pd.DataFrame(told).to_csv(index=False))
    for name, text in texts.items():
        path = board / name
        if not path.is_file() or path.read_bytes() != text.encode():
            write(path, text.encode())


def readme(board: Path, found: Sequence[Entry], sort: str, others: Sequence[Published] = ()) -> str:
    """The board's page: what was measured, the table, what others report, what stands out,
    what was found, the grids.
    """
    first = found[0]
    name, protocol = next(iter(first.record.plan["protocols"].items()))
    best_first = ordered(found, sort)
    parts = [
        f"# {clean(board.name)}",
        (
            f"Data set `{protocol['dataset']}`, protocol `{name}`: n = {protocol['n']}, "
            f"labels {protocol['labels']}. {MADE}"
        ),
        shown(found, sort, "markdown", others),
        LEGEND,
        *_methods(_ranked(found), sort),
        *_real_line(best_first, sort),
        *_reproduced(board, best_first),
        *_better_than_real(best_first),
        *(
            re.sub("^#", "##", path.read_text(encoding="utf-8").strip(), flags=re.MULTILINE)
            for path in sorted(board.glob(FINDINGS))
        ),
        *(
            _picture(board, entry)
            for entry in best_first
            if (board / "entries" / f"{entry.id}.png").is_file()
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _ranked(found: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in found if entry.ranked]


def _methods(found: Sequence[Entry], sort: str) -> list[str]:
    """The methods of a board that have several trainings."""
    rows = methods.people(found, sort)
    said = (
        "± is half the 95 % t interval of the mean over trainings, sd the standard deviation "
        "between them; `genbench leaderboard --methods` compares them."
    )
    return ["## Methods", markdown(pd.DataFrame(rows)), said] if rows else []


def _real_line(found: Sequence[Entry], sort: str) -> list[str]:
    score = next(
        (s for e in found if e.ranked and (s := e.score(sort)) and s.real is not None), None
    )
    if score is None or score.real is None or score.real_high is None:
        return []
    return [
        (
            f"Real images against real images of the same sizes: `{sort}` {score.real:.3g} "
            f"(median), 95 % of splits below {score.real_high:.3g}."
        )
    ]


def _better_than_real(found: Sequence[Entry]) -> list[str]:
    """A sentence for each ranked entry that is shown beyond what real data scores,
    on the better side, with the errors of both sides.
    """
    lines = []
    for entry in found:
        for score in (
            s
            for s in entry.record.scores
            if entry.ranked and s.status == "ok" and s.real is not None
        ):
            if _beyond(score):
                lines.append(
                    f"- {escaped(entry.label)} lies beyond real data on `{score.metric}`: "
                    f"{cell(entry, score.metric)}, real {score.real:.3g}."
                )
    why = (
        "Better than real data is no contradiction: a generator that draws near the centre of each "
        "class and leaves out what is rare scores well on precision, density and a classifier's "
        "certainty; recall, coverage and the distances show what it left out."
    )
    return [why + "\n\n" + "\n".join(lines)] if lines else []


def _beyond(score: Score) -> bool:
    """Whether a score lies on the better side of real data by more than its own interval,
    and by more than the errors of both sides.
    """
    sign = 1 if score.better == "lower" else -1
    side = number(score.high) if score.better == "lower" else number(score.low)
    gap = sign * (number(score.real) - number(score.value))
    return gap > max(
        abs(side - number(score.value)),
        T19 * math.hypot(score.se or 0.0, score.se_reference or 0.0),
    )


def _picture(board: Path, entry: Entry) -> str:
    label = escaped(entry.label)
    rows = (
        "row = class, column = seed"
        if "labels" in entry.record.plan["identity"]["conditions"]
        else "in order of the seeds"
    )
    parts = [
        f"## {label}",
        f"Uncurated, {rows}, seeds from {entry.record.plan['identity']['first_seed']}.",
        f"![samples of {label}](entries/{entry.id}.png)",
    ]
    if (board / "entries" / f"{entry.id}{NEAREST}").is_file():
        parts += [
            "Samples that are closest to training images, each above the nearest of them.",
            f"![copies in {label}](entries/{entry.id}{NEAREST})",
        ]
    return "\n\n".join(parts)

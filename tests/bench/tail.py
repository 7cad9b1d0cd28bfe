"""Long tails shown on digits: generators trained on balanced and on long-tailed digits, measured class by class against the same balanced reference.

    python tests/bench/tail_digits.py                           dcgan: balanced, imbalance 50, and the same with the classes reversed; three seeds each
    python tests/bench/tail_digits.py --plugin ddpm --tails     ddpm, and each strategy for the tail
    python tests/bench/tail_digits.py --steps 300 --seeds 1     a trial

Checkpoints, runs and boards lie under --out; what is there already is taken over, so that a stopped call goes on. Writes tail_digits_PLUGIN.md beside this
file (with --out elsewhere: there). What it should show: models of a long tail are worse on their few classes than on their many, the balanced ones are not,
and reversing the classes moves the fault with the counts.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

IMBALANCE = "50"
GROUPS = ("many", "medium", "few")
T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571}  # of t, two-sided, by degrees of freedom
TAIL = ("--imbalance", IMBALANCE)
BALANCED, REVERSED = (), (*TAIL, "--class-order", "reversed")
# name -> (how it is trained, the data set whose groups and training images it is held to)
SETTINGS = {"balanced": (BALANCED, TAIL), "long tail": (TAIL, TAIL), "long tail, reversed": (REVERSED, REVERSED), "balanced, reversed": (BALANCED, REVERSED)}
TAILS = {
    "drop": (*TAIL, "--tail", "drop", "--min-count", "20"),
    "oversample 0.5": (*TAIL, "--tail", "oversample", "--power", "0.5"),
    "oversample 1": (*TAIL, "--tail", "oversample", "--power", "1"),
    "staged": (*TAIL, "--tail", "staged"),
}
AUGMENT = {"dcgan": "diffaug", "ddpm": "karras"}
COLUMNS = {"kd": "kernel distance", "spread_ratio": "spread ratio", "accuracy": "label accuracy", "nearest_ratio": "nearest training image / real to real"}


def genbench(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "genbench", *words], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"genbench {' '.join(words)} ended with {done.returncode}")
    return done.stdout


def trained(args: argparse.Namespace, name: str, words: tuple[str, ...], seed: int) -> Path:
    """The checkpoint of one setting and seed."""
    path = args.out / "checkpoints" / f"{args.plugin}-{name.replace(' ', '-').replace(',', '')}-{seed}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        then = time.monotonic()
        steps = ("--steps", str(args.steps)) if args.steps else ()
        genbench("train", "--plugin", args.plugin, "--dataset", "digits", *words, *steps, "--seed", str(seed), "--out", str(path))
        print(f"{path.name}: {time.monotonic() - then:.0f} s", file=sys.stderr)
    return path


def table(args: argparse.Namespace, checkpoint: Path, words: tuple[str, ...]) -> tuple[list[dict], Path]:
    """The rows of `genbench classes` for one checkpoint, and the run's folder, where its pictures are."""
    places = ("--out", str(args.out / "runs"))
    boards = ("--leaderboards", str(args.out / "leaderboards"))
    said = genbench("run", "--plugin", args.plugin, "--checkpoint", str(checkpoint), "--dataset", "digits", *words, *places, *boards, "--json")
    run = json.loads(said)["id"]
    return json.loads(genbench("classes", run, *places, "--json"))["classes"], args.out / "runs" / run


def by_group(rows: list[dict], column: str) -> dict[str, float]:
    """The mean of a column over the classes of each group; without those that have none."""
    found = {}
    for group in GROUPS:
        values = [row[column] for row in rows if row.get("group") == group and row.get(column) is not None]
        if values:
            found[group] = statistics.fmean(values)
    return found


def interval(values: list[float]) -> str:
    """Mean and half a 95 % interval over the training seeds."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.3g}"
    return f"{mean:.3g} ± {T95.get(len(values) - 1, 1.96) * statistics.stdev(values) / math.sqrt(len(values)):.2g}"


def asked(args: argparse.Namespace) -> str:
    """The options that decide what is measured."""
    return f"--plugin {args.plugin}" + " --tails" * args.tails + f" --steps {args.steps}" * bool(args.steps) + f" --seeds {args.seeds}"


def page(args: argparse.Namespace, found: dict[str, list[list[dict]]]) -> str:
    """The finding as Markdown."""
    length = f"{args.steps} steps each" if args.steps else "as many steps as the generator usually takes, the same for every setting"
    said = (
        f"By `python tests/bench/tail_digits.py {asked(args)}`. Imbalance {IMBALANCE}; means over the classes of a group, ± half a 95 % interval "
        f"(t) over {args.seeds} trainings of {length}. Reference: 870 held-out digits, balanced. Groups are by the training counts of the long tail, and for "
        "the balanced models by the counts that they would have had. few - many is paired by training."
    )
    lines = [f"# Long-tailed digits: {args.plugin}", said]
    for column, title in COLUMNS.items():
        rows = []
        for name, tables in found.items():
            each = [by_group(one, column) for one in tables]
            cells = [interval([one[group] for one in each]) if all(group in one for one in each) else "–" for group in GROUPS]
            paired = [one["few"] - one["many"] for one in each if {"few", "many"} <= one.keys()]
            rows.append(f"| {name} | {' | '.join(cells)} | {interval(paired) if paired else '–'} |")
        lines.append("\n".join([f"## {title}", "", "| trained on | many | medium | few | few - many |", "|---|---|---|---|---|", *rows]))
    flags = [f"| {name} | {', '.join(flagged(tables))} |" for name, tables in found.items()]
    lines.append("\n".join(["## Classes flagged (in how many of the trainings)", "", "| trained on | class: flag |", "|---|---|", *flags]))
    lines += ["## A model of the long tail, seed 0", f"![numbers by class]({args.plugin}_tail.png)", "Its worst classes, uncurated:"]
    return "\n\n".join([*lines, f"![samples of its worst classes]({args.plugin}_tail_worst.png)"]) + "\n"


def flagged(tables: list[list[dict]]) -> list[str]:
    """Each class and flag with the number of trainings that have it."""
    counts: dict[tuple[int, str], int] = {}
    for rows in tables:
        for row in rows:
            for flag in row["flags"]:
                counts[row["class"], flag] = counts.get((row["class"], flag), 0) + 1
    return [f"{label}: {flag} ({count})" for (label, flag), count in sorted(counts.items())] or ["none"]


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plugin", default="dcgan", choices=sorted(AUGMENT))
    parser.add_argument("--tails", action="store_true", help="each strategy for the tail too")
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("tail_digits"))
    parser.add_argument("--page", type=Path, default=None, help="where the page goes; default: beside this file")
    args = parser.parse_args()
    settings = dict(SETTINGS)
    if args.tails:
        settings |= {name: (words, TAIL) for name, words in TAILS.items()}
        settings |= {AUGMENT[args.plugin]: ((*TAIL, "--augment", AUGMENT[args.plugin]), TAIL)}
    found: dict[str, list[list[dict]]] = {}
    for name, (training, data) in settings.items():
        label = "balanced" if training == BALANCED else name  # one training, held to both orders
        made = [table(args, trained(args, label, training, seed), data) for seed in range(args.seeds)]
        found[name] = [rows for rows, _ in made]
        if name == "long tail":
            pictures = made[0][1]
    text, place = page(args, found), args.page or here / f"tail_digits_{args.plugin}.md"
    place.write_text(text, encoding="utf-8")
    for picture, ending in (("classes.png", "tail"), ("classes_worst.png", "tail_worst")):
        shutil.copy(pictures / picture, place.parent / f"{args.plugin}_{ending}.png")
    print(text)


if __name__ == "__main__":
    main()

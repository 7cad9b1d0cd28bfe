"""Long tails shown: generators trained on balanced and on long-tailed images,
measured class by class against the same balanced reference.

    python tests/bench/tail.py
        dcgan on digits: balanced, imbalance 50, and the same with the classes reversed;
        three seeds each
    python tests/bench/tail.py --plugin ddpm --tails     ddpm, and each strategy for the tail
    python tests/bench/tail.py --steps 300 --seeds 1     a trial
    python tests/bench/fashion_rows.py fashion.safetensors && GENBENCH_WEIGHTS=. python tests/bench/tail.py --dataset fashion-mnist --imbalance 100 \\
        --protocol fashion-balanced-test --with tests/bench/fashion_rows.py --only balanced --only
        "long tail" --seeds 1 --steps 4000

Checkpoints, runs and boards lie under --out; what is there already is taken over, so that a stopped
call goes on. Writes finding_PLUGIN.md with its pictures there (or where --page says): in a board's
folder it is part of the board's page. What it should show: models of a long tail are worse on their
few classes than on their many, the balanced ones are not, and reversing the classes moves the fault
with the counts.
"""  # noqa: E501

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import spearmanr

from genbench.data.user_datasets import dataset_of

GROUPS = ("many", "medium", "few")
T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571}  # of t, two-sided, by degrees of freedom
AUGMENT = {"dcgan": "diffaug", "ddpm": "karras"}
COLUMNS = {
    "kd": "kernel distance",
    "spread_ratio": "spread ratio",
    "accuracy": "label accuracy",
    "nearest_ratio": "nearest training image / real to real",
}


# how it is trained, and the data set whose groups and training images it is held to
Setting = tuple[tuple[str, ...], tuple[str, ...]]


def settings_of(args: argparse.Namespace) -> dict[str, Setting]:
    """The settings by name."""
    tail = ("--imbalance", args.imbalance)
    turned = (*tail, "--class-order", "reversed")
    found: dict[str, Setting] = {
        "balanced": ((), tail),
        "long tail": (tail, tail),
        "long tail, reversed": (turned, turned),
        "balanced, reversed": ((), turned),
    }
    if args.tails:
        found |= {
            "drop": ((*tail, "--tail", "drop", "--min-count", "20"), tail),
            "oversample 0.5": ((*tail, "--tail", "oversample", "--power", "0.5"), tail),
            "oversample 1": ((*tail, "--tail", "oversample", "--power", "1"), tail),
            "staged": ((*tail, "--tail", "staged"), tail),
            (kind := AUGMENT[args.plugin]): ((*tail, "--augment", kind), tail),
            f"oversample 1, {kind}": (
                (*tail, "--tail", "oversample", "--power", "1", "--augment", kind),
                tail,
            ),
        }
    unknown = set(args.only) - set(found)
    if unknown:
        raise SystemExit(f"no setting {', '.join(sorted(unknown))}; there are {', '.join(found)}")
    return {name: found[name] for name in args.only or found}


def genbench(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "genbench", *words], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"genbench {' '.join(words)} ended with {done.returncode}")
    return done.stdout


def trained(args: argparse.Namespace, name: str, words: tuple[str, ...], seed: int) -> Path:
    """The checkpoint of one setting and seed."""
    path = (
        args.out
        / "checkpoints"
        / (
            f"{args.dataset}-{args.plugin}-{name.replace(' ', '-').replace(',', '')}-"
            f"{seed}.safetensors"
        )
    )
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        then = time.monotonic()
        steps = ("--steps", str(args.steps)) if args.steps else ()
        genbench(
            "train",
            "--plugin",
            args.plugin,
            "--dataset",
            args.dataset,
            *words,
            *steps,
            "--seed",
            str(seed),
            "--out",
            str(path),
        )
        print(f"{path.name}: {time.monotonic() - then:.0f} s", file=sys.stderr)
    return path


def table(
    args: argparse.Namespace, checkpoint: Path, words: tuple[str, ...]
) -> tuple[list[dict], Path]:
    """The rows of `genbench classes` for one checkpoint, and the run's folder,
    where its pictures are.
    """
    places = ("--out", str(args.out / "runs"))
    how = (
        *(("--protocol", args.protocol) if args.protocol else ()),
        *(("--n", str(args.n)) if args.n else ()),
        *rows_of(args),
    )
    words = (
        "--plugin",
        args.plugin,
        "--checkpoint",
        str(checkpoint),
        "--dataset",
        args.dataset,
        *words,
        *how,
        *places,
    )
    run = json.loads(
        genbench("run", *words, "--leaderboards", str(args.out / "leaderboards"), "--json")
    )["id"]
    return json.loads(genbench("classes", run, *places, *rows_of(args), "--json"))[
        "classes"
    ], args.out / "runs" / run


def copies(run: Path) -> Image.Image:
    """The first ten samples of each of the three rarest classes,
    and under each sample the training image of its class that is nearest in pixels.
    """
    exported = run.with_suffix(".npz")
    if not exported.exists():
        genbench("export", str(run), "--to", "npz", "--out", str(exported), "--quiet")
    with np.load(exported) as held:
        images, labels = held["images"], held["labels"]
    data = dataset_of(json.loads((run / "run.json").read_text(encoding="utf-8"))["plan"]["dataset"])
    there, of = (
        np.concatenate(part)
        for part in zip(
            *((images.numpy(), labels.numpy()) for images, labels in data.open("train")),
            strict=True,
        )
    )
    there = there.transpose(0, 2, 3, 1)
    rows = []
    for c in np.argsort(np.bincount(of), kind="stable")[:3]:
        ours, theirs = images[labels == c][:10], there[of == c]
        near = ((ours[:, None].astype(int) - theirs[None]) ** 2).sum((2, 3, 4)).argmin(1)
        rows += [
            np.concatenate(ours, 1),
            np.concatenate(theirs[near], 1),
            np.full((8, ours.shape[2] * len(ours), 3), 255, np.uint8),
        ]
    sheet = Image.fromarray(np.concatenate(rows[:-1]))
    return sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.NEAREST)


def rows_of(args: argparse.Namespace) -> tuple[str, ...]:
    return ("--with", str(args.rows)) if args.rows else ()


def by_group(rows: list[dict], column: str) -> dict[str, float]:
    """The mean of a column over the classes of each group; without those that have none."""
    found = {}
    for group in GROUPS:
        values = [
            row[column] for row in rows if row.get("group") == group and row.get(column) is not None
        ]
        if values:
            found[group] = statistics.fmean(values)
    return found


def interval(values: list[float]) -> str:
    """Mean and half a 95 % interval over the training seeds."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.3g}"
    return (
        f"{mean:.3g} ± "
        f"{T95.get(len(values) - 1, 1.96) * statistics.stdev(values) / math.sqrt(len(values)):.2g}"
    )


def asked(args: argparse.Namespace) -> str:
    """The options that decide what is measured."""
    words = {"dataset": "digits", "imbalance": "50", "protocol": "", "steps": 0}
    said = [
        f"--plugin {args.plugin}",
        *(
            f"--{name} {value}"
            for name, usual in words.items()
            if (value := getattr(args, name)) != usual
        ),
    ]
    # a file of tests/bench, which says itself what it needs beforehand
    said += [f"--with {args.rows}"] if args.rows else []
    return " ".join(
        [
            *said,
            *(["--tails"] if args.tails else []),
            *(f'--only "{name}"' for name in args.only),
            f"--seeds {args.seeds}",
        ]
    )


def page(
    args: argparse.Namespace, found: dict[str, list[list[dict]]], shown: str, beside: list[str]
) -> str:
    """The finding as Markdown.

    shown: the setting whose pictures stand on it; beside: those whose samples stand above their
    nearest training images.
    """
    length = (
        f"{args.steps} steps each"
        if args.steps
        else "as many steps as the generator usually takes, the same for every setting"
    )
    said = (
        f"By `python tests/bench/tail.py {asked(args)}`. Imbalance {args.imbalance}; "
        f"means over the classes of a group, ± half a 95 % interval (t) over {args.seeds} "
        f"training{'s' * (args.seeds > 1)} of {length}. Reference: held-out images, balanced. "
        "Groups are by the training counts of the long tail, and for the balanced models by the "
        "counts that they would have had. few - many is paired by training."
    )
    lines = [f"# Long-tailed {args.dataset}: {args.plugin}", said]
    for column, title in COLUMNS.items():
        rows = []
        for name, tables in found.items():
            each = [by_group(one, column) for one in tables]
            cells = [
                interval([one[group] for one in each]) if all(group in one for one in each) else "–"
                for group in GROUPS
            ]
            paired = [one["few"] - one["many"] for one in each if {"few", "many"} <= one.keys()]
            rows.append(f"| {name} | {' | '.join(cells)} | {interval(paired) if paired else '–'} |")
        lines.append(
            "\n".join(
                [
                    f"## {title}",
                    "",
                    "| trained on | many | medium | few | few - many |",
                    "|---|---|---|---|---|",
                    *rows,
                ]
            )
        )
    ranks = [
        f"| {name} | {', '.join(map(correlation, tables))} |" for name, tables in found.items()
    ]
    title = (
        "## Rank correlation (Spearman) of a class's training count and its kernel distance, "
        "training by training"
    )
    lines.append("\n".join([title, "", "| trained on | correlation (p) |", "|---|---|", *ranks]))
    flags = [f"| {name} | {', '.join(flagged(tables))} |" for name, tables in found.items()]
    lines.append(
        "\n".join(
            [
                "## Classes flagged (in how many of the trainings)",
                "",
                "| trained on | class: flag |",
                "|---|---|",
                *flags,
            ]
        )
    )
    stem = place_of(args).stem
    lines += [
        f"## A model of: {shown}, seed 0",
        f"![numbers by class]({stem}.png)",
        "Its worst classes, uncurated:",
        f"![samples]({stem}_worst.png)",
    ]
    if beside:
        lines.append(
            "## Samples of the three rarest classes (upper rows) above the nearest training image "
            "of their class (lower rows), the first ten, seed 0"
        )
    for at, name in enumerate(beside):
        lines += [f"Trained on: {name}", f"![samples above training images]({stem}_copies{at}.png)"]
    return "\n\n".join(lines) + "\n"


def correlation(rows: list[dict]) -> str:
    found = spearmanr([row["train_count"] for row in rows], [row["kd"] for row in rows])
    return f"{found.statistic:.2f} ({found.pvalue:.2g})"


def place_of(args: argparse.Namespace) -> Path:
    """Of the page; its pictures lie beside it."""
    return args.page or args.out / f"finding_{args.plugin}.md"


def flagged(tables: list[list[dict]]) -> list[str]:
    """Each class and flag with the number of trainings that have it."""
    counts: dict[tuple[int, str], int] = {}
    for rows in tables:
        for row in rows:
            for flag in row["flags"]:
                counts[row["class"], flag] = counts.get((row["class"], flag), 0) + 1
    return [f"{label}: {flag} ({count})" for (label, flag), count in sorted(counts.items())] or [
        "none"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plugin", default="dcgan", choices=sorted(AUGMENT))
    parser.add_argument("--tails", action="store_true", help="each strategy for the tail too")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--imbalance", default="50")
    parser.add_argument("--protocol", default="", help="the data set's own otherwise")
    parser.add_argument("--n", type=int, default=0, help="the protocol's otherwise")
    parser.add_argument("--with", dest="rows", type=Path, help="a file with rows of one's own")
    parser.add_argument(
        "--only", action="append", default=[], help="only this setting, and others named so"
    )
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="trainings at a time; OMP_NUM_THREADS=1 beside it where there is one for each core",
    )
    parser.add_argument("--out", type=Path, default=Path("tail"))
    parser.add_argument(
        "--page",
        type=Path,
        default=None,
        help="where the page goes; default: finding_PLUGIN.md under --out",
    )
    args = parser.parse_args()
    settings = settings_of(args)

    def label(name: str) -> str:
        return name if settings[name][0] else "balanced"  # one training, held to both orders

    trainings = {
        (label(name), seed): words
        for name, (words, _) in settings.items()
        for seed in range(args.seeds)
    }
    tables = [(name, seed) for name in settings for seed in range(args.seeds)]
    with ThreadPoolExecutor(args.jobs) as pool:
        checkpoints = dict(
            zip(
                trainings,
                pool.map(lambda one: trained(args, one[0], trainings[one], one[1]), trainings),
                strict=True,
            )
        )
        made = dict(
            zip(
                tables,
                pool.map(
                    lambda one: table(
                        args, checkpoints[label(one[0]), one[1]], settings[one[0]][1]
                    ),
                    tables,
                ),
                strict=True,
            )
        )
    found = {name: [made[name, seed][0] for seed in range(args.seeds)] for name in settings}
    shown = "long tail" if "long tail" in settings else next(iter(settings))
    pictures = made[shown, 0][1]
    beside = (
        [
            name
            for name in ("long tail", "oversample 1", f"oversample 1, {AUGMENT[args.plugin]}")
            if name in settings
        ]
        if args.tails
        else []
    )
    text, place = page(args, found, shown, beside), place_of(args)
    place.write_text(text, encoding="utf-8")
    for picture, ending in (("classes.png", ""), ("classes_worst.png", "_worst")):
        shutil.copy(pictures / picture, place.with_name(f"{place.stem}{ending}.png"))
    for at, name in enumerate(beside):
        copies(made[name, 0][1]).save(
            place.with_name(f"{place.stem}_copies{at}.png"), optimize=True
        )
    print(text)


if __name__ == "__main__":
    main()

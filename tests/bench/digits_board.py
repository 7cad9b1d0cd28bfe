"""The board of digits: every generator that ships, path lengths where there are latent spaces,
and what truncation and DDIM's steps trade.

    python tests/bench/digits_board.py            about 25 minutes on two cores; what is there
                                                  already is taken over
    python tests/bench/digits_board.py --only steps

Runs and sweeps lie under --out. Written are the board, leaderboards/digits, and in it
finding_tradeoffs.md with its pictures, which is part of its page.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

BOARD = Path(__file__).parents[2] / "leaderboards/digits"
WEIGHTS = Path(__file__).parents[2] / "plugins/weights"
OWN = "fd,kd,precision,recall,density,coverage,is,label_accuracy"  # of the protocol
ENTRIES = {
    "real": (),
    "noise": (),
    "vae": ("--metrics", f"{OWN},ppl_z_digits"),
    "dcgan": ("--metrics", f"{OWN},ppl_z_digits"),
    "wgan-gp": (
        "--metrics",
        f"{OWN},ppl_z_digits",
        "--checkpoint",
        str(WEIGHTS / "wgan-gp-digits.safetensors"),
        "-o",
        "loss=wgan-gp",
    ),
    "stylegan2": ("--metrics", f"{OWN},ppl_z_digits,ppl_w_digits"),
    "vqgan": (),
    "ddpm": (),  # as README's first command
}
PLUGINS = {"wgan-gp": "dcgan"}  # of entries that are not named as theirs
SWEEPS = {  # name of the picture: plugin, option with its values, what the page says
    "truncation": (
        "stylegan2",
        "truncation=0.3,0.5,0.7,0.85,1.0",
        (
            "StyleGAN2: w moved to its mean (truncation; 1 is none). The mean is of all classes, "
            "as in NVIDIA's code, so that far in a class is lost"
        ),
    ),
    "steps": ("ddpm", "steps=2,5,10,20,50,100", "ddpm: steps of DDIM"),
}


def genbench(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "genbench", *words], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"genbench {' '.join(words)} ended with {done.returncode}")
    return done.stdout


def swept(out: Path, name: str) -> str:
    """A part of the page: the table of a sweep and its picture, which is copied into the board."""
    plugin, values, title = SWEEPS[name]
    place = out / "sweeps" / name
    genbench(
        "sweep",
        "--plugin",
        plugin,
        "-o",
        values,
        "--out",
        str(out / "runs"),
        "--leaderboards",
        str(place),
        "--quiet",
    )
    picture = f"finding_{name}.png"
    shutil.copy(place / "digits/tradeoff.png", BOARD / picture)
    table = genbench(
        "leaderboard", "digits", "--leaderboards", str(place), "--format", "markdown"
    ).strip()
    return (
        f"## {title}\n\n"
        f"By `genbench sweep --plugin {plugin} -o {values}`.\n\n{table}\n\n![{title}]({picture})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", default=[], choices=[*ENTRIES, *SWEEPS])
    parser.add_argument("--out", type=Path, default=Path("digits_board"))
    args = parser.parse_args()
    wanted = args.only or [*ENTRIES, *SWEEPS]
    for name in (one for one in ENTRIES if one in wanted):
        words = ("--plugin", PLUGINS.get(name, name), "--dataset", "digits", *ENTRIES[name])
        genbench(
            "run",
            *words,
            "--out",
            str(args.out / "runs"),
            "--leaderboards",
            str(BOARD.parent),
            "--quiet",
        )
    parts = [swept(args.out, name) for name in SWEEPS if name in wanted]
    if len(parts) == len(SWEEPS):
        (BOARD / "finding_tradeoffs.md").write_text(
            "\n\n".join(["# What is traded", *parts]) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()

"""Coverage-guided fuzzing of the readers of foreign files.

    pip install atheris
    python tests/fuzz/run.py zip --seconds 3600              # of processor; in ../fuzz, or --folder
    python tests/fuzz/run.py --table                         # what was run so far
    python tests/fuzz/run.py zip --keep tests/data/fuzz/zip/corpus

The corpus is the state: the same command goes on from it. The folder has READER/corpus,
READER/findings (the smallest input of each, and findings.json), a log, and ledger.jsonl with a line
for each piece of work.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
import types
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PIECE = 600  # seconds of processor of one process, after which it is begun again
# seconds of processor after which a process writes down what it has done: what kills it
# takes no more
TOLD = 5
PART = "part.json"
# bytes of an input
LONGEST = {
    "images": 8192,
    "records": 4096,
    "safetensors": 4096,
    "pickles": 8192,
    "zip": 16384,
    "npz": 4096,
}
# whole packages: atheris goes by the first name
INSTRUMENTED = ["genbench", "zipfile", "json", "tomllib", "pickletools", "csv", "gzip", "PIL"]
# modules within what is too large to be instrumented
FUNCTIONS = ["torch._weights_only_unpickler", "numpy.lib._format_impl"]
WORDS = {  # as in a dictionary of libFuzzer's, apart by blanks
    "pickles": (
        r"ctorch._utils\x0a_rebuild_tensor_v2\x0a ccollections\x0aOrderedDict\x0a "
        r"ctorch\x0aFloatStorage\x0a cos\x0asystem\x0a state_dict _modules"
    ),
    "npz": (
        r"descr fortran_order shape '<f8' '|u1' '|O' True (2,2) \x93NUMPY\x01\x00 PK\x05\x06 "
        r"PK\x06\x06 99999999999 \x00\x00\x08\x03"
    ),
    "safetensors": (
        r"data_offsets shape dtype F32 F64 BF16 F8_E4M3 __metadata__ genbench sha256 "
        r"18446744073709551615 [ {"
    ),
    "zip": (
        r"PK\x01\x02 PK\x03\x04 PK\x05\x06 PK\x06\x06 PK\x06\x07 dataset.json .png .ppm "
        r"\xff\xfe\xfd labels classes ../ data.pkl code/"
    ),
    "images": (
        r"IHDR IDAT iCCP tRNS eXIf acTL zTXt iTXt VP8X ANIM EXIF \xff\xe1 \xff\xdb Exif\x00\x00 "
        r"XML:com.adobe.xmp II*\x00 MM\x00*"
    ),
    "records": (
        "schema plan scores identity protocols measures status ok null NaN Infinity 1e999 [[rule]] "
        "[[cost]] [[run]] [[question]] accept until margin left_out sizes flags value prompt 0x "
        "1979-05-27T07:32:00Z -1 99999999999999999999"
    ),
}


def _path(word: str) -> Path:
    return Path(word).resolve()  # a reader is looked at from a folder of its own


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reader", nargs="?", choices=sorted(LONGEST))
    parser.add_argument(
        "--seconds", type=float, default=3600.0, help="of processor, in all that is in the ledger"
    )
    parser.add_argument("--folder", type=_path, default=TESTS.parents[1] / "fuzz")
    parser.add_argument("--table", action="store_true", help="print what the ledger has")
    parser.add_argument(
        "--keep",
        type=_path,
        help="copy the smallest inputs that reach what the corpus reaches here",
    )
    parser.add_argument("--inside", type=float, help=argparse.SUPPRESS)
    words = parser.parse_args()
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]
    if words.table:
        print(table(words.folder))
    elif words.keep:
        from fuzz.keep import kept

        words.keep.mkdir(parents=True, exist_ok=True)
        for path in kept(words.reader, words.folder / words.reader / "corpus"):
            (words.keep / path.name[:12]).write_bytes(path.read_bytes())
    elif words.inside:
        inside(words.reader, words.folder / words.reader, words.inside)
    else:
        outside(words.reader, words.folder, words.seconds)
    return 0


# The process that fuzzes


def inside(reader: str, folder: Path, seconds: float) -> None:
    import atheris

    import_module("torch")
    for name in [name for name in sys.modules if name.partition(".")[0] in INSTRUMENTED]:
        del sys.modules[name]  # what was imported already would go uninstrumented
    with atheris.instrument_imports(include=INSTRUMENTED):
        from fuzz import targets

        given = targets.seeds(reader)
        with targets.room() as room:
            targets.warm(reader, room)
    for function in _functions():
        atheris.instrument_func(function)
    corpus, begun = folder / "corpus", folder / "seeds"
    begun.mkdir(exist_ok=True)
    for data in given:
        (begun / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)
    (folder / "words.txt").write_text("".join(f'"{word}"\n' for word in WORDS[reader].split()))
    kept = Findings(folder / "findings")
    options = [
        f"-max_len={LONGEST[reader]}", f"-dict={folder / 'words.txt'}", "-rss_limit_mb=4000",
        "-timeout=900", "-report_slow_units=900", "-print_final_stats=1",
        f"-artifact_prefix={folder / 'findings'}/", "-reload=0",
    ]  # fmt: skip
    began = time.process_time()  # what it took to import and instrument is no fuzzing
    done = {"executions": 0, "told": 0.0}
    with targets.room() as room:

        def one(data: bytes) -> None:
            try:
                targets.look(reader, data, room)
            except targets.Finding as error:
                kept.add(data, error)
            done["executions"] += 1
            used = time.process_time() - began
            if used > done["told"] + TOLD:
                done["told"] = used
                (folder / PART).write_text(
                    json.dumps(
                        {
                            "reader": reader,
                            "seconds": round(used, 1),
                            "executions": done["executions"],
                        }
                    )
                )
            if used > seconds:
                os.kill(os.getpid(), signal.SIGINT)  # which libFuzzer ends by, with its numbers

        atheris.Setup([sys.argv[0], *options, str(corpus), str(begun)], one)
        atheris.Fuzz()


def _functions() -> Iterator[types.FunctionType]:
    for module in map(import_module, FUNCTIONS):
        for one in vars(module).values():
            for found in vars(one).values() if isinstance(one, type) else [one]:
                if isinstance(found, types.FunctionType) and found.__module__ == module.__name__:
                    yield found


class Findings:
    """The smallest input of each kind: the door, the error and the place in the program's code."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "findings.json"
        self.known = json.loads(self.file.read_text()) if self.file.exists() else {}

    def add(self, data: bytes, error: Exception) -> None:
        frames = traceback.extract_tb(error.__cause__.__traceback__) if error.__cause__ else []
        place = next(
            (
                f"{Path(one.filename).name}:{one.name}"
                for one in reversed(frames)
                if "genbench" in one.filename
            ),
            "",
        )
        what = "" if place else re.sub(r"[^a-z ]", "", " ".join(str(error).split()[:9]).lower())
        kind = f"{str(error).split(': ')[0]} | {type(error.__cause__).__name__} | {place} {what}"
        name = hashlib.sha1(kind.encode(), usedforsecurity=False).hexdigest()[:12]
        if name in self.known and len(data) >= self.known[name]["bytes"]:
            return
        print(f"FINDING {name} {len(data)} bytes: {str(error)[:200]!r}", file=sys.stderr)
        (self.folder / f"{name}.bin").write_bytes(data)
        self.known[name] = {"bytes": len(data), "kind": kind, "error": str(error)[:300]}
        self.file.write_text(json.dumps(self.known, indent=1))


# The process that counts


def outside(reader: str, folder: Path, seconds: float) -> None:
    for name in ("corpus", "findings"):
        (folder / reader / name).mkdir(parents=True, exist_ok=True)
    counted(reader, folder)  # what was killed before
    while (
        left := seconds
        - sum(line["seconds"] for line in ledger(folder) if line["reader"] == reader)
    ) > 1:
        command = [
            sys.executable,
            __file__,
            reader,
            "--folder",
            str(folder),
            "--inside",
            str(min(PIECE, max(left, 2 * TOLD))),
        ]
        with (folder / reader / "log.txt").open("ab") as log:
            subprocess.run(command, stdout=log, stderr=log, check=False)
        if not counted(reader, folder):
            sys.exit(f"{reader}: the fuzzer ends at once; see {folder / reader / 'log.txt'}")


def counted(reader: str, folder: Path) -> bool:
    """Enter what the last process wrote down of itself in the ledger; whether it did."""
    part = folder / reader / PART
    if not part.exists():
        return False
    with (folder / "ledger.jsonl").open("a") as file:
        file.write(
            json.dumps(json.loads(part.read_text()) | last_numbers(folder / reader / "log.txt"))
            + "\n"
        )
    part.unlink()
    return True


def last_numbers(log: Path) -> dict[str, int]:
    """What libFuzzer said last: edges (cov), features (ft), inputs in the corpus."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 20_000))
        text = file.read().decode("utf-8", "replace")
    found = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text)
    return (
        dict(zip(("edges", "features", "corpus"), map(int, found[-1]), strict=True))
        if found
        else {}
    )


def ledger(folder: Path) -> list[dict[str, float]]:
    file = folder / "ledger.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def table(folder: Path) -> str:
    """A row for each reader; findings are those that are kept with the tests."""
    lines = [
        "| reader | processor seconds | executions | edges | features | corpus | findings kept |",
        "|---|---|---|---|---|---|---|",
    ]
    for reader in sorted(LONGEST):
        own = [line for line in ledger(folder) if line["reader"] == reader]
        sums = [
            f"{sum(line.get(key, 0) for line in own):,.0f}" for key in ("seconds", "executions")
        ]
        last = [
            f"{max((line.get(key, 0) for line in own), default=0):,}"
            for key in ("edges", "features", "corpus")
        ]
        findings = len(list((TESTS / "data" / "fuzz" / reader).glob("*.bin")))
        lines.append(f"| {' | '.join([reader, *sums, *last, str(findings)])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

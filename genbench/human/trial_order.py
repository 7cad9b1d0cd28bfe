"""What each rater of a study is shown, and in which order:
pure functions of the study's seed and the rater's number.

Every rater sees equally many of each stratum (real images and each model's, or each pair of
models), every item comes up equally often over raters, half of a stratum's pairs stand the other
way round, and one trial in ten is a catch trial, spread evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genbench._util.lazy_imports import np

CATCH_SHARE = 0.1
APART = 5  # trials at least between an item and its repeat, where there is room


@dataclass(frozen=True)
class Trial:
    """One question to one rater.

    item: a place in the study's items; swapped: its two pictures stand the other way round.
    """

    item: int
    swapped: bool = False
    catch: str = ""  # obvious, repeat or identical
    question: int = 0


@dataclass(frozen=True)
class Pool:
    """The items of a study: those that count, by stratum with each stratum's share of the trials,
    and those for catch trials.
    """

    strata: tuple[tuple[int, ...], ...]
    shares: tuple[float, ...]
    obvious: tuple[int, ...]
    identical: tuple[int, ...] = ()  # pairs of one picture
    questions: int = 1


def catches(trials: int) -> int:
    """How many of so many trials are catch trials."""
    return max(1, round(trials * CATCH_SHARE)) if trials >= 5 else 0


def kinds_of_catch(count: int, pairs: bool) -> list[str]:
    """obvious, repeat (and identical) in turn; an obvious one first,
    since a repeat needs something before it.
    """
    turn = ("obvious", "repeat", "identical") if pairs else ("obvious", "repeat")
    return [turn[k % len(turn)] for k in range(count)]


def split(total: int, shares: Sequence[float], number: int) -> list[int]:
    """`total` in whole parts by these shares; what is left over goes to other strata from
    rater to rater.
    """
    whole = np.asarray(shares, dtype=np.float64) / sum(shares) * total
    parts = np.floor(whole + 1e-9).astype(int)
    turned = np.roll(np.argsort(-(whole - parts), kind="stable"), -number)
    open_to = [k for k in turned.tolist() if whole[k] - parts[k] > 1e-9]
    for k in range(total - int(parts.sum())):
        parts[open_to[k % len(open_to)]] += 1
    return [int(part) for part in parts]


def largest(pool: Pool, trials: int) -> int:
    """The trials that the pool bears without showing one rater an item twice: at most `trials`."""
    while trials > 1:
        parts = split(trials - catches(trials), pool.shares, 0)
        if all(part <= len(stratum) for part, stratum in zip(parts, pool.strata, strict=True)):
            return trials
        trials -= 1
    return trials


def trials_of(pool: Pool, seed: int, number: int, trials: int) -> list[Trial]:
    """The trials of rater `number` (0, 1, ...), in order; with several questions to an item each is
    a trial, one after the other.
    """
    rng = np.random.default_rng([seed, number])
    shown = trials // pool.questions
    catch = kinds_of_catch(catches(shown), bool(pool.identical))
    main = _main(pool, seed, number, shown - len(catch))
    order = [main[k] for k in rng.permutation(len(main))]
    places = np.linspace(0, len(order), len(catch) + 1).astype(int)
    found: list[Trial] = []
    for k, kind in enumerate(catch):
        stretch = order[places[k] : places[k + 1]]
        at = int(rng.integers(min(1, len(stretch)), len(stretch) + 1))
        found += stretch[:at]
        found.append(_catch(kind, found, pool, rng))
        found += stretch[at:]
    found += order if not catch else []
    return [
        Trial(one.item, one.swapped, one.catch, question)
        for one in found
        for question in range(pool.questions)
    ]


def _main(pool: Pool, seed: int, number: int, count: int) -> list[Trial]:
    """The next items of each stratum's seeded order, so that all come up equally often;
    every other one swapped.
    """
    found = []
    before = np.sum(
        [split(count, pool.shares, earlier) for earlier in range(number)]
        or [[0] * len(pool.strata)],
        axis=0,
    )
    for k, (stratum, part) in enumerate(
        zip(pool.strata, split(count, pool.shares, number), strict=True)
    ):
        order = np.random.default_rng([seed, 1_000_003, k]).permutation(len(stratum))
        taken = [stratum[order[(int(before[k]) + j) % len(stratum)]] for j in range(part)]
        sides = np.random.default_rng([seed, number, 7, k]).permutation(
            [(j + number) % 2 for j in range(part)]
        )
        found += [Trial(item, bool(side)) for item, side in zip(taken, sides, strict=True)]
    return found


def _catch(kind: str, before: Sequence[Trial], pool: Pool, rng: np.random.Generator) -> Trial:
    if kind == "repeat":
        known = [one for one in before if not one.catch]
        early = known[:-APART] or known
        again = early[int(rng.integers(len(early)))]
        return Trial(again.item, not again.swapped, "repeat")
    those = pool.identical if kind == "identical" else pool.obvious
    return Trial(those[int(rng.integers(len(those)))], bool(rng.integers(2)), kind)

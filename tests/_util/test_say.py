"""What people are told: numbers in the digits that they bear, aligned tables, near misses,
harmless names.
"""

from __future__ import annotations

import doctest
import math

import pytest

from genbench._util import console, did_you_mean, errors, formatting


def test_the_examples_in_the_docstrings_hold():
    """Every >>> of did_you_mean.py and formatting.py prints what stands below it."""
    found = [doctest.testmod(module) for module in (did_you_mean, formatting)]
    assert sum(one.failed for one in found) == 0
    assert sum(one.attempted for one in found) >= 3


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (0.28345, 0.0312, "0.283"),
        (0.28347, 0.00312, "0.2835"),
        (32.118, 1.9, "32.1"),
        (1234.5, 120.0, "1234"),
        (1235.5, 12.0, "1236"),
        (0.5, 0.0, "0.5"),
        (0.123456, 0.0, "0.1235"),
        (123456.0, math.inf, "1.235e+05"),
        (-0.00001234, 0.00002, "-0.000012"),
        (3.0, 1e-300, "3.000000000000"),
        (0.0, 0.1, "0.00"),
        (-0.0, 0.1, "0.00"),
        (-0.001, 0.1, "0.00"),
        (0.3, 0.0996, "0.30"),
        (math.nan, 0.1, "nan"),
        (math.inf, 0.1, "inf"),
    ],
)
def test_a_number_has_the_digits_that_its_spread_bears(value, spread, text):
    """Two significant digits of the spread decide the decimals;
    without a spread four significant digits; a zero has no sign.
    """
    assert formatting.number(value, spread) == text


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.2834, 0.252, 0.315, "0.283 ± 0.032"),
        (0.99, 0.97, 1.0, "0.990 +0.010 −0.020"),
        (1.0, 0.96, 1.0, "1.000 +0.000 −0.040"),
        (0.0, 0.0, 0.04, "0.000 +0.040 −0.000"),
        (40.0, 30.0, 50.0, "40 ± 10"),
        (0.5, 0.5, 0.5, "0.5 ± 0"),
        (-0.3, -0.4, -0.2, "-0.30 ± 0.10"),
    ],
)
def test_an_interval_is_shown_by_half_or_by_both_sides(value, low, high, text):
    """An interval whose sides differ by less than a fifth of its half is one ±;
    otherwise both sides are shown.
    """
    assert formatting.plus_minus(value, low, high) == text


def test_a_table_is_aligned():
    """The first columns are flush left, the rest flush right, no line ends in blanks,
    and a table without rows is its headings.
    """
    text = formatting.table(
        ["name", "how", "fd"], [["noise", "a", "100"], ["x", "bcd", ""]], left=2
    )
    assert text == "name   how   fd\nnoise  a    100\nx      bcd"
    assert formatting.table(["a", "b"], []) == "a  b"


@pytest.mark.parametrize(
    "bad",
    [
        "\x1b[31mred",
        "two\nlines",
        "bell\a",
        "back\rover",
        "right\u202eto left",
        "nul\0",
        "\u2028",
        "\x9b31m",
    ],
)
def test_names_from_strangers_are_harmless(bad):
    """Control characters, line breaks and direction marks of a name reach no terminal, in tables,
    lists and fields alike.
    """
    for text in (
        formatting.clean(bad),
        formatting.table(["a"], [[bad]]),
        formatting.listing([(bad, bad)]),
        formatting.fields({"a": bad}),
    ):
        assert all(c.isprintable() for line in text.split("\n") for c in line)
        assert bad not in text
    assert formatting.clean("größe ± 数") == "größe ± 数"


@pytest.mark.parametrize(
    ("word", "known", "tail"),
    [
        ("ddmp", ["vae", "ddpm"], "did you mean ddpm? Known: ddpm, vae"),
        ("xyz", ["vae", "ddpm"], "Known: ddpm, vae"),
        ("xyz", [], "There is none"),
        (
            "fd_digit",
            ["fd_digits", "kd_digits", "is"],
            "did you mean fd_digits or kd_digits? Known: fd_digits, is, kd_digits",
        ),
    ],
)
def test_near_misses_come_first(word, known, tail):
    """An unknown word is answered by what is near to it, then by all there is, sorted."""
    assert did_you_mean.choices(word, known) == tail


def test_quiet_silences_remarks_and_not_errors(capsys, monkeypatch):
    """Under --quiet tell says nothing, complain still does,
    and answers go to standard output all the same.
    """
    monkeypatch.setenv("GENBENCH_QUIET", "1")
    console.tell("remark")
    console.complain("error")
    console.answer("answer")
    assert capsys.readouterr() == ("answer\n", "error\n")


def test_a_full_disk_behind_standard_output_is_a_failed_run(monkeypatch):
    """An answer that cannot be written ends in RunFailed with the way to see it,
    and a reader who has gone is passed on as such.
    """

    class Full:
        def write(self, text):
            raise self.error

    monkeypatch.setattr("sys.stdout", Full())
    Full.error = OSError(28, "No space left on device")
    with pytest.raises(errors.RunFailed, match="`genbench show` prints it"):
        console.answer("x")
    Full.error = BrokenPipeError()
    with pytest.raises(BrokenPipeError):
        console.answer("x")


def test_every_error_knows_its_exit_status():
    """The tree of errors carries the statuses of the command line:
    2 the user, 3 not comparable, 5 the run and its plugins.
    """
    assert [
        e.status
        for e in (errors.UserError, errors.NotComparable, errors.RunFailed, errors.PluginFailed)
    ] == [2, 3, 5, 5]
    assert str(errors.PluginFailed("line", "trace")) == "line"


def test_progress_without_a_terminal_is_a_line_at_times(capsys, monkeypatch):
    """Where standard error is no terminal, progress is a line every ten seconds with rate and time
    left, and none under --quiet.
    """
    clock = iter([0.0, 0.0, 4.0, 10.0, 12.0])
    monkeypatch.setattr("genbench._util.console.time.monotonic", lambda: next(clock))
    with console.progress("sampling x", 100, "images") as done:
        for _ in range(3):
            done(20)
    assert capsys.readouterr().err == "sampling x: 40 of 100, 4.0 images/s, 15 s left\n"
    monkeypatch.setenv("GENBENCH_QUIET", "1")
    with console.progress("sampling x", 100, "images") as done:
        done(20)
    assert capsys.readouterr().err == ""

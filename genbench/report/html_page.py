"""The report: the sections of the shelf in their order, each rendered or with the reason why it is
absent, in one file that loads nothing.
"""

from __future__ import annotations

import base64
import hashlib
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench._util.console import aside
from genbench._util.errors import PluginFailed, RunFailed, UserError
from genbench._util.formatting import clean, plus_minus
from genbench._util.lazy_imports import jinja2, markupsafe, np
from genbench._util.package_version import VERSION
from genbench.api import _registry as registry
from genbench.api.report_section import Section
from genbench.report import svg_plots
from genbench.report.image_sheet import Sheet, sheet
from genbench.report.run_data import Run

if TYPE_CHECKING:
    from numpy import ndarray

# bytes: what the page stays below by giving up pictures, and what no page exceeds
SIZE, STOP = 3_000_000, 15_000_000
# bytes of pictures of a section before base64, over all runs
SHARE = {"whole": 900_000, "half": 450_000, "third": 300_000}
PAGE = Path(__file__).with_name("sections")  # page.html, page.css, page.js


@dataclass(frozen=True)
class Part:
    """A section as it came out: HTML, or a reason; `failed` where the reason is a fault."""

    row: Section
    body: Any
    reason: str = ""
    failed: bool = False


@dataclass
class Report:
    """What a section's render is given."""

    runs: tuple[Run, ...]
    _plots: int = field(default=0, init=False)

    def html(self, template: str, **values: Any) -> markupsafe.Markup:
        """A Jinja template filled in: every value is escaped, unless it came out of this object;
        `report` and `runs` are known to it.
        """
        found = _environment().from_string(template).render(report=self, runs=self.runs, **values)
        return markupsafe.Markup(found)

    def plot(
        self, draw: Callable[[Any], None], alt: str, size: tuple[float, float] = (4.4, 3.2)
    ) -> markupsafe.Markup:
        """An inline SVG of what draw(matplotlib figure) draws; alt: what it shows, in words."""
        self._plots += 1
        return markupsafe.Markup(svg_plots.svg(draw, f"plot{self._plots}", alt, size))

    def badge(self, run: Run) -> markupsafe.Markup:
        """A run's name, after its colour where it is one of several."""
        return self.html(
            (
                '{% if runs|length > 1 %}<span class="swatch" style="background: '
                '{{ run.paint }}"></span>{% endif %}{{ run.name }}'
            ),
            run=run,
        )

    def sheet(self, images: ndarray[Any, Any], share: str = "whole", **words: Any) -> Sheet:
        """Images uint8 [rows, columns, 3, h, w] as one picture; share:
        which part of the page's pictures they may be, over all runs.
        """
        return sheet(np.asarray(images), SHARE[share] // len(self.runs), **words)

    def picture(self, of: Sheet, alt: str, scale: int = 0) -> markupsafe.Markup:
        """A sheet as an image that a key or a click enlarges;
        small ones are shown at a whole multiple of their pixels.
        """
        times = scale or max(1, min(4, 700 // len(self.runs) // max(of.width, 1)))
        shown = {
            "sheet": of,
            "alt": clean(alt),
            "width": of.width * times,
            "height": of.height * times,
        }
        return self.html(
            (
                '<img class="sheet" src="{{ sheet.address }}" width="{{ width }}" height="{{ '
                'height }}" alt="{{ alt }}">'
            ),
            **shown,
        )


def _finalize(value: Any) -> Any:
    """What a template prints: names from strangers without control characters, nothing for None."""
    if value is None:
        return ""
    return clean(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


@cache
def _environment() -> Any:
    found = jinja2.Environment(
        autoescape=True,
        finalize=_finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.policies["json.dumps_kwargs"] = {"sort_keys": True, "allow_nan": False}
    found.filters |= {"interval": lambda one: plus_minus(one.value, one.low, one.high)}
    return found


def parts_of(report: Report, told: Callable[[str], None]) -> list[Part]:
    """Every section of the shelf, in order; what fails is told,
    and costs no other section anything.
    """
    found = []
    for name, one in registry.standing("sections").items():
        try:
            row: Section = registry.find("sections", name)
        except Exception as error:  # a stranger's package
            told(
                f"section {clean(name)} from {clean(one.origin)}: {type(error).__name__}: "
                f"{clean(str(error))}"
            )
            continue
        found.append(_part(row, report, told))
    return sorted(found, key=lambda part: (part.row.order, part.row.name))


def _part(row: Section, report: Report, told: Callable[[str], None]) -> Part:
    try:
        with aside():
            body = row.render(report)
        if hasattr(body, "__html__"):
            return Part(row, body)
        if isinstance(body, str) and body:
            return Part(row, None, body)
        raise TypeError(
            f"render returned {type(body).__name__}; return report.html(...), "
            "or the reason for its absence as a str"
        )
    except UserError as error:
        if not isinstance(error, PluginFailed | RunFailed):
            return Part(row, None, _here(report, error))
        why = _here(report, error)
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        why = (
            f"{type(error).__name__}: {' '.join(str(error).split())[:300]} "
            f"({Path(last.filename).name}:{last.lineno})"
        )
    told(f"section {row.name} failed: {clean(why)}")
    return Part(row, None, f"failed: {why}", failed=True)


def _here(report: Report, error: UserError) -> str:
    """An error's words without where the runs lie on this machine."""
    for run in report.runs:
        error = UserError(run.why(error))
    return str(error)


def written(runs: Sequence[Run], told: Callable[[str], None], size: int = SIZE) -> bytes:
    """The page. told: is given a line for each section that failed or was left out for its size."""
    report = Report(tuple(runs))
    parts = parts_of(report, told)
    page = _page(report, parts)
    while len(page) > size:
        held = [part for part in parts if part.row.pictures and part.body is not None]
        if not held:
            break
        largest = max(held, key=lambda part: len(part.body))
        why = (
            f"left out: with its {len(largest.body) / 1e6:.1f} MB the page would be "
            f"{len(page) / 1e6:.1f} MB, more than {size / 1e6:g} MB"
        )
        told(f"section {largest.row.name} {why}")
        parts = [Part(part.row, None, why) if part is largest else part for part in parts]
        page = _page(report, parts)
    if len(page) > STOP:
        raise UserError(
            f"the report would be {len(page) / 1e6:.0f} MB without any picture, "
            f"more than {STOP / 1e6:g} MB: name fewer runs"
        )
    return page


def _page(report: Report, parts: Sequence[Part]) -> bytes:
    style, script = (
        (PAGE / name).read_text(encoding="utf-8").strip() for name in ("page.css", "page.js")
    )
    seal = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    safe = markupsafe.Markup
    sets = sorted(
        {
            clean(str(run.record.plan["identity"].get("dataset", "real images")))
            for run in report.runs
        }
    )
    title = " and ".join(
        f"{report.runs[0].label} on {one}" if len(report.runs) == 1 else one for one in sets
    )
    title = title if len(report.runs) == 1 else f"{len(report.runs)} runs on {title}"
    said = {
        "title": title,
        "style": safe(style),
        "script": safe(script),
        "seal": seal,
        "version": VERSION,
        "parts": parts,
    }
    return str(report.html((PAGE / "page.html").read_text(encoding="utf-8"), **said)).encode()

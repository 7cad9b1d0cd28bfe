"""The records themselves, for programs: JSON in a script element that no browser runs."""

from __future__ import annotations

from typing import Any

from genbench._util.package_version import VERSION
from genbench.api.report_section import Section

TEMPLATE = """
<p class="quiet">The whole record of each run lies in this page as JSON, \
in the element <code>script#records</code>: every number with its leave-outs, the
plan, the environment.</p>
<pre><code>import json, re
page = open("report.html", encoding="utf-8").read()
json.loads(re.search(r'&lt;script type="application/json" id="records"&gt;(.*?)&lt;/script&gt;', \
page, re.S)[1])["runs"][0]["scores"]</code></pre>
<script type="application/json" id="records">{{ content|tojson }}</script>
"""


def render(report: Any) -> Any:
    """The records in the order of the runs, keys sorted; < and > are written as escapes,
    so that no name ends the element.
    """
    return report.html(
        TEMPLATE,
        content={"genbench": VERSION, "runs": [run.record.to_json() for run in report.runs]},
    )


ROW = Section("record", "Raw record", 110, render)

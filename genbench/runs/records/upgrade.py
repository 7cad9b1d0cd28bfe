"""Records of earlier schemas as those of today, step by step:
each step takes the plain data of schema k and gives that of schema k + 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from genbench.runs.records.metric_versions import of_earlier_extractor, of_earlier_measure


def _named_by_version(content: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 to 2: versions in place of hashes of source text, of a number, of its interval,
    of its real-vs-real line and of the features.
    """
    plan = content.get("plan", {})
    labels = str(plan.get("identity", {}).get("conditions", {}).get("labels", ""))
    protocols = {}
    for name, protocol in plan.get("protocols", {}).items():
        named = dict(protocol)
        if "measures" in protocol:
            named["measures"] = [of_earlier_measure(one, labels) for one in protocol["measures"]]
        if "extractors" in protocol:
            named["extractors"] = {
                one: of_earlier_extractor(one, identity)
                for one, identity in protocol["extractors"].items()
            }
        protocols[name] = named
    return {
        **content,
        "schema": 2,
        **({"plan": {**plan, "protocols": protocols}} if protocols else {}),
    }


#: schema k -> the step from k to k + 1
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _named_by_version}

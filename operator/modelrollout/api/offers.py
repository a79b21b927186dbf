"""Which built-in metrics there are of which model server, as CEL rules of a spec.

What they are made of is generated from the templates in `metrics/templates`, so that nothing is written twice.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from modelrollout.api.base import rule
from modelrollout.api.slo import BuiltInMetric

_GATEWAY = "gateway"
_OF_GATEWAY = "(has(slo.source) && slo.source == 'Gateway')"


def metric_rules() -> list[dict[str, str]]:
    """A rule for each metric that some server or the gateway lacks; one of its own where there is something to say."""
    return [one for metric in BuiltInMetric for one in (*_without(metric), *_explained(metric))]


def _without(metric: BuiltInMetric) -> list[dict[str, str]]:
    """Those that lack the metric, and nothing can be said but who has it."""
    having = [name for name, offer in _offers().items() if metric in offer["metrics"]]
    explained = [name for name, offer in _offers().items() if metric in offer["instead"]]
    lacking = [name for name in _offers() if name not in (*having, *explained, _GATEWAY)]
    found = []
    if lacking:
        words = f"the server does not tell {metric}: only {', '.join(having)} do; use another metric, or a query"
        found.append(_refused(metric, _of_server(lacking), words))
    if _GATEWAY not in having:
        words = f"the gateway does not tell {metric}: only a server does, so name {' or '.join(having)} as spec.server"
        words += ", without source Gateway"
        found.append(_refused(metric, f"(!has(self.server) || {_OF_GATEWAY})", words))
    return found


def _explained(metric: BuiltInMetric) -> list[dict[str, str]]:
    return [
        _refused(metric, _of_server([name]), offer["instead"][metric])
        for name, offer in _offers().items()
        if metric in offer["instead"]
    ]


def _of_server(names: list[str]) -> str:
    return f"has(self.server) && self.server in {names} && !{_OF_GATEWAY}"


def _refused(metric: BuiltInMetric, where: str, words: str) -> dict[str, str]:
    some = f"self.slos.exists(slo, has(slo.metric) && slo.metric == '{metric}' && {where})"
    return rule(f"!has(self.slos) || !{some}", words, ".slos")


@cache
def _offers() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files(__package__).joinpath("offers.json").read_text(encoding="utf-8"))
    return found

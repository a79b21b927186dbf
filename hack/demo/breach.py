"""When a breach could first be seen: read back from the samples that Prometheus has recorded."""

from dataclasses import dataclass
from typing import Any

import httpx

from modelrollout.api.quantities import parse_number
from modelrollout.metrics import templates
from modelrollout.metrics.meters import Ratio
from stack import Served
from stack.evidence import Window
from stack.history import Object
from stack.served import NAME

_BACKENDS = {"blue": 0, "green": 1}


@dataclass(frozen=True)
class _Counted:
    at: float
    requests: float
    failed: float


def first_seen(model: Served, slo: Object, stage: Window, colour: str) -> float | None:
    """Time of the first scrape in the stage that shows the candidate's failures beyond the SLO's limit."""
    limit = parse_number(slo["limit"])
    counted = _counts(model, colour, since=stage.start)
    beyond = (one for one in counted if one.requests and one.failed / one.requests > limit)
    return next((one.at for one in beyond), None)


def _counts(model: Served, colour: str, *, since: float) -> list[_Counted]:
    """The gateway's counters of the candidate at each scrape since then, less what they were at that moment."""
    (ratio,) = (meter for meter in templates.load("envoy-gateway").meters if isinstance(meter, Ratio))
    (of_requests,), (of_failed,) = ratio.requests, ratio.failed
    cluster = f"httproute/{model.namespace}/{NAME}/rule/0/backend/{_BACKENDS[colour]}"
    of_cluster = f'envoy_cluster_name="{cluster}"'
    requests = _increase(model, f"{of_requests.series}{{{of_cluster}}}", since)
    where = ",".join(f'{label}="{value}"' for label, value in of_failed.where.items())
    failed = _increase(model, f"{of_failed.series}{{{of_cluster},{where}}}", since)
    return [_Counted(at, count, failed.get(at, 0.0)) for at, count in requests.items()]


def _increase(model: Served, selector: str, since: float) -> dict[float, float]:
    """By the time of each scrape since then, how much a counter has grown.

    Envoy drops the counters of a backend without weight, so that they begin at nothing again.
    """
    answer = httpx.get(
        f"{model.bed.prometheus_url}/api/v1/query",
        params={"query": f"{selector}[10m]"},
        trust_env=False,
        timeout=10,
    )
    result: list[Any] = answer.raise_for_status().json()["data"]["result"]
    samples = [(float(at), float(value)) for series in result for at, value in series["values"]]
    grown, before, by_scrape = 0.0, 0.0, {}
    for at, value in samples:
        if at >= since:
            grown += value - before if value >= before else value
            by_scrape[at] = grown
        before = value
    return by_scrape

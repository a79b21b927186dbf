"""The operator scrapes pods itself: a version that fails from the first is gone in seconds, without Prometheus."""

import statistics
from collections.abc import Callable

from e2e.telling import ERRORS
from stack import Serve
from stack.evidence import failed
from stack.history import Object
from stack.served import Served, digits, is_true, steps

RUNS = 3
SECONDS = 5.0
"""From the first bad answer to the route that takes the requests back, in the median."""


def test_a_version_that_fails_goes_back_within_seconds_while_prometheus_hangs(serve: Serve) -> None:
    served = serve("scraped", slos=[ERRORS], strategy=steps(10, 100, hold="1m"), replicas=1, directScrapes={})
    with served as model:
        model.wait_serving("1.0.0")
        took = [taken_back_after(model, f"1.2.{run}-fails") for run in range(RUNS)]
    assert statistics.median(took) <= SECONDS, took


def taken_back_after(model: Served, version: str) -> float:
    """Seconds from the first bad answer of a version, of which all are bad, to the route."""
    template = digits("")["spec"]["template"]
    template["spec"]["containers"][0]["env"] = [
        {"name": "MODEL_FOLDER", "value": "faulty"},
        {"name": "FAILING", "value": "1"},
    ]
    with model.load(rate=100, requests=40_000, seconds=400) as load:
        warm_up = {"path": "/v2/health/ready", "method": "GET", "body": None}  # which it does not fail
        model.set(model={"version": version}, template=template, warmUp=warm_up)
        model.wait(can_be_judged(version), what=f"Prometheus asked about version {version}", timeout=60)
        with model.bed.hanging("prometheus"):
            model.wait_stage(version, "canary-10")
            gone = model.wait_taken_back(version).at
            record = model.status["lastRevert"]
        answers = load.stop()
    assert (record["reason"], record["stage"]) == ("SLOBreached", "canary-10")
    (bad, *_) = sorted(one.ended_at for one in failed(answers) if one.variant == "candidate" and one.ended_at <= gone)
    (route, *_) = (window.start for window in model.windows() if window.start > bad and window.weight == 0)
    model.wait_reverted(version)
    return route - bad


def can_be_judged(version: str) -> Callable[[Object], bool]:
    """Whether a look at the metrics before any traffic has found nothing in the way of a version."""

    def looked(status: Object) -> bool:
        candidate = status.get("candidate") or {}
        return candidate.get("version") == version and is_true(status, "MetricsReady")

    return looked

"""One candidate after the other meets real requests; what became of each, from the requests and the route alone."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from kubernetes.config import new_client_from_config

import stack
import testbed
from stack import NotReachedError, Served
from stack.evidence import failed
from stack.history import Object
from stack.served import candidate_weight, is_reverted, serves
from testbed.progress import say, step
from traffic_client import Answer

from .cases import HEALTHY, HOLD_MINUTES, WEIGHT, Case

BED, NAMESPACE = "prove", "prove"
RATE = 100
"""Requests a second."""
SCRAPE_SECONDS = 15
"""Of Prometheus, as it is by default in many clusters."""
_LONGEST = 60 * (HOLD_MINUTES + 3)
"""Seconds for each candidate."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What became of one candidate."""

    case: Case
    reverted: bool
    message: str
    """Why it was taken back; empty for one that was not."""
    requests: int
    """How many it got at its first weight."""
    since_stage: float | None = None
    """Seconds from the route that gave it requests to the one that took them back."""
    since_bad: float | None = None
    """Seconds from its first bad answer to that route."""


def try_all(cases: tuple[Case, ...], rate: int = RATE) -> Iterator[Trial]:
    """Try every candidate on a bed of its own, in the order of the cases."""
    bed = testbed.up("full", BED, scrape_interval=f"{SCRAPE_SECONDS}s")
    stack.install(bed)
    client = new_client_from_config(str(bed.kubeconfig))  # type: ignore[no-untyped-call]
    with Served(bed, client, NAMESPACE, **HEALTHY.spec("1.0.0")) as model:
        with step("the first version of the model"):
            model.wait_serving("1.0.0", timeout=_LONGEST)
        for case in cases:
            for run in range(1, case.runs + 1):
                trial = _try(model, case, f"{_slug(case)}-{run}", rate)
                say(f"{case.name}, {run} of {case.runs}: {_told(trial)}")
                yield trial


def _try(model: Served, case: Case, version: str, rate: int) -> Trial:
    """Ask for the candidate under load, and go back to stable if it is not found in time."""
    stable = model.status["stable"]["version"]
    with model.load(rate=rate, requests=rate * 2 * _LONGEST, seconds=2 * _LONGEST) as load:
        asked_at = time.time()
        model.set(**case.spec(version))
        with suppress(NotReachedError):
            model.wait(_is_decided(version), what=f"the end of {version}", timeout=_LONGEST)
        trial = _measure(case, model, load.stop(), version=version, since=asked_at)
    if not _is_decided(version)(model.status):
        model.set(**HEALTHY.spec(stable))
        model.wait_serving(stable)
    return trial


def _is_decided(version: str) -> Callable[[Object], bool]:
    return lambda status: is_reverted(version)(status) or serves(version)(status)


def _measure(case: Case, model: Served, answers: list[Answer], *, version: str, since: float) -> Trial:
    weights = [(state.at, candidate_weight(state.object)) for state in model.route.states if state.at >= since]
    begun = next((at for at, weight in weights if weight), float("inf"))
    ended = next((at for at, weight in weights if at > begun and weight != WEIGHT), float("inf"))
    ours = [one for one in answers if one.variant == "candidate" and begun <= one.sent_at < ended]
    bad = [one.ended_at for one in failed(ours)]
    reverted = is_reverted(version)(model.status)
    return Trial(
        case=case,
        reverted=reverted,
        message=model.status["lastRevert"]["message"] if reverted else "",
        requests=len(ours),
        since_stage=ended - begun if reverted else None,
        since_bad=ended - min(bad) if reverted and bad else None,
    )


def _told(trial: Trial) -> str:
    if not trial.reverted:
        return f"not taken back, {trial.requests} requests"
    return f"taken back {trial.since_stage:.1f} s after its first request could come: {trial.message}"


def _slug(case: Case) -> str:
    return re.sub(r"[^a-z]+", "-", case.name)

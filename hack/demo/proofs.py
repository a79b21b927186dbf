"""What the demo proves, from what was measured."""

from collections.abc import Iterator
from dataclasses import dataclass

from stack import Served
from stack.evidence import ROUTING_TAKES, UNLIKELY, Window, by_version, describe, failed, is_models_own, share
from stack.history import Object
from stack.served import status_of
from traffic_client import Answer

from .breach import first_seen

_NO_STAGE = "it never had a share of the requests"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The two rollouts and all requests meanwhile."""

    model: Served
    good: str
    bad: str
    slo: Object
    """The SLO that the bad version breaches."""
    answers: list[Answer]

    def stages(self, version: str) -> list[Window]:
        """When the version was the candidate with a share of the requests."""
        entered = [
            state.at
            for state in self.model.history.states
            if (status_of(state.object).get("candidate") or {}).get("version") == version
        ]
        if not entered:
            return []
        rollout = Window(min(entered), max(entered) + ROUTING_TAKES, 0)
        return [
            window for window in self.model.windows() if window.weight and rollout.start <= window.start < rollout.end
        ]


@dataclass(frozen=True)
class Proof:
    """A claim, whether the numbers bear it out, and the numbers."""

    claim: str
    holds: bool
    numbers: str


def prove(evidence: Evidence) -> Iterator[Proof]:
    """Every claim of the demo."""
    yield _nothing_else_failed(evidence)
    yield _promoted(evidence)
    yield _reverted_at_first_stage(evidence)
    for version in (evidence.good, evidence.bad):
        for stage in evidence.stages(version):
            yield _within(evidence, version, stage)
    yield _nothing_afterwards(evidence)
    yield _reaction(evidence)


def _nothing_else_failed(evidence: Evidence) -> Proof:
    failures = failed(evidence.answers)
    others = [one for one in failures if not (_of_bad_version(evidence, one) and is_models_own(one))]
    numbers = f"{len(evidence.answers)} requests, {len(failures)} failed, {len(others)} of them not by {evidence.bad}"
    if others:
        numbers += f": {describe(others)}"
    return Proof(
        f"no request failed but by the fault of version {evidence.bad}", bool(failures) and not others, numbers
    )


def _of_bad_version(evidence: Evidence, answer: Answer) -> bool:
    stages = evidence.stages(evidence.bad)
    return answer.variant == "candidate" and any(
        stage.start - ROUTING_TAKES <= answer.sent_at <= stage.end + ROUTING_TAKES for stage in stages
    )


def _promoted(evidence: Evidence) -> Proof:
    weights = [round(stage.weight) for stage in evidence.stages(evidence.good)]
    served = by_version(evidence.answers)[evidence.good]
    numbers = f"shares {', '.join(map(str, weights))} %; it served {served} requests"
    return Proof(f"version {evidence.good} went through every stage and serves", weights == [10, 25, 50, 100], numbers)


def _reverted_at_first_stage(evidence: Evidence) -> Proof:
    claim = f"version {evidence.bad} was taken back at its first stage"
    record = evidence.model.status.get("lastRevert")
    if not record:
        return Proof(claim, False, "nothing was taken back")
    weights = [round(stage.weight) for stage in evidence.stages(evidence.bad)]
    holds = record["version"] == evidence.bad and record["reason"] == "SLOBreached" and weights == [10]
    return Proof(claim, holds, record["message"])


def _within(evidence: Evidence, version: str, stage: Window) -> Proof:
    found = share(stage, evidence.answers)
    numbers = f"{found.candidate} of {found.total} requests: {found.per_cent:.1f} %"
    if stage.weight < 100:
        numbers += f"; chance alone passes {found.bound_per_cent:.1f} % once in {1 / UNLIKELY:,.0f} times"
    return Proof(f"version {version} got no more than its {stage.weight:.0f} %", found.is_within, numbers)


def _nothing_afterwards(evidence: Evidence) -> Proof:
    claim = f"version {evidence.bad} got nothing once it was taken back"
    stages = evidence.stages(evidence.bad)
    if not stages:
        return Proof(claim, False, _NO_STAGE)
    late = Window(stages[-1].end + ROUTING_TAKES, float("inf"), 0).of(evidence.answers)
    strays = [answer for answer in late if answer.variant == "candidate"]
    numbers = f"{len(strays)} of {len(late)} requests sent more than {ROUTING_TAKES:g} s after the route was written"
    return Proof(claim, bool(late) and not strays, numbers)


def _reaction(evidence: Evidence) -> Proof:
    claim = "the revert followed the breach within seconds"
    stages = evidence.stages(evidence.bad)
    if not stages:
        return Proof(claim, False, _NO_STAGE)
    failures = [one.ended_at for one in failed(evidence.answers) if _of_bad_version(evidence, one)]
    if not failures:
        return Proof(claim, False, f"no request failed by the fault of version {evidence.bad}")
    taken_back_at, first_bad = stages[-1].end, min(failures)
    colour = evidence.model.status["stable"]["colour"]
    seen = first_seen(evidence.model, evidence.slo, stages[0], "blue" if colour == "green" else "green")
    if seen is None:
        return Proof(claim, False, "Prometheus has recorded no breach")
    numbers = (
        f"{taken_back_at - first_bad:.1f} s from the first bad answer; {taken_back_at - seen:.1f} s from the first "
        "scrape that shows more failures than the limit allows"
    )
    # A scrape a second: which of two neighbours the judge has seen, and which this count finds, may differ by one.
    return Proof(claim, first_bad < taken_back_at and -1 < taken_back_at - seen < 10, numbers)

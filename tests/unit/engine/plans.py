"""Rollouts to hold the invariants against: all routers, strategies and policies, in small sizes."""

from typing import Any

from hypothesis import strategies as st

from modelrollout.api.capacity import NoRoom
from modelrollout.api.spec import DeletionPolicy
from modelrollout.api.traffic import HeaderMatch
from unit.engine.simulation import GATEWAY

COHORTS = [HeaderMatch(header="x-ring", value=value) for value in ("internal", "beta")]
BY_PODS: dict[str, Any] = {"replicas": {}}

_SMALL: dict[str, Any] = {"replicas": {"unreachable": "Refuse"}}
_CAPACITIES: list[dict[str, Any]] = [{}, {"candidate": "Proportional"}, {"candidate": "Fixed", "pods": 2}]
_AGREED: dict[str, Any] = {"approvals": [{"role": "security"}], "checklist": ["runbook"]}
_WINDOWS = [{"from": "00:10", "to": "23:00"}, {"from": "00:00", "to": "00:20"}]
"""One that opens while most worlds are young, and one that closes then; both begin at midnight."""

REQUIRED = st.sampled_from([None, None, _AGREED, _AGREED | {"slos": []}])
WEIGHTS = st.sampled_from([5, 20, 34, 50]) | st.integers(1, 99)
"""Per cent below 100; the first few are what one pod more or less brings within reach, or out of it."""


@st.composite
def plans(draw: st.DrawFn) -> dict[str, Any]:
    """Router, strategy, policies and sizes of a rollout; the version is put in later."""
    weights = draw(st.sets(WEIGHTS, max_size=3))
    step: dict[str, Any] = {
        "require": draw(REQUIRED),
        "hold": draw(st.sampled_from(["0s", "30s", "5m"])),
        "deadline": draw(st.sampled_from([None, "10m"])),
        "onDeadline": draw(st.sampled_from(["Hold", "Revert", "Advance"])),
        "window": draw(st.sampled_from([None, None, None, *_WINDOWS])),
    }
    # percentages are a canary by another name
    preset = draw(st.sampled_from(["canary", "blueGreen", "ring", "stages"]))
    router = draw(st.sampled_from([GATEWAY, GATEWAY, BY_PODS, BY_PODS, _SMALL]))
    let_in = draw(st.lists(st.sampled_from(COHORTS), min_size=1, max_size=2)) if router is GATEWAY else []
    slo = {
        "name": "errors",
        "metric": "error-ratio",
        "limit": "1%",
        "test": draw(st.sampled_from(["Plain", "Sequential"])),
        "consecutiveBreaches": draw(st.integers(1, 3)),
    }
    slo |= draw(st.sampled_from([{}, {"onBreach": "Hold"}, {"onBreach": "Hold", "revertAfter": "5m"}]))
    return {
        "replicas": draw(st.integers(1, 6)),
        "traffic": router,
        "strategy": strategy(preset, weights, let_in, **{key: value for key, value in step.items() if value}),
        "slos": draw(st.sampled_from([[], [slo]])),
        "capacity": draw(st.sampled_from(_CAPACITIES)) | {"noRoom": draw(st.sampled_from(NoRoom))},
        "rollback": {"keepWarm": "10m"} | draw(st.sampled_from([{}, {"mode": "Gradual"}])),
        "service": draw(st.sampled_from([{}, {"longestAnswer": "1m"}])),
        "revisionHistoryLimit": draw(st.integers(0, 2)),
        "retry": draw(st.sampled_from([None, {"limit": 1, "after": "1m"}])),
        "deletionPolicy": draw(st.sampled_from(DeletionPolicy)),
        "progressDeadline": draw(st.sampled_from([None, "1m"])),
        "alerts": draw(st.sampled_from([{"revertOn": [{"alertname": "Errors"}]}, None])),
    } | draw(st.sampled_from([{}, {"warmUp": {"path": "/"}}, {"bake": {"duration": "10m"}}]))


def strategy(preset: str, weights: set[int], let_in: list[HeaderMatch], **timed: Any) -> dict[str, Any]:
    """A preset with these weights, or stages in full.

    The first rings and stages let cohorts in, the very first one perhaps nobody else.
    """
    steps: list[dict[str, Any]] = [{"weight": weight, **timed} for weight in [*sorted(weights), 100]]
    if preset in ("canary", "blueGreen"):
        return {preset: {"steps": steps}}
    first = [{"weight": 0, **timed}] if let_in else []
    rings = [{"name": f"ring-{ring['weight']}", **ring} for ring in (*first, *steps)]
    for ring, cohort in zip(rings, let_in, strict=False):
        ring["match"] = [cohort.to_wire()]
    return {"ring": {"rings": rings}} if preset == "ring" else {"stages": [_in_full(**ring) for ring in rings]}


def _in_full(*, weight: int, match: list[dict[str, str]] | None = None, **others: Any) -> dict[str, Any]:
    return {"traffic": {"weight": weight, "match": match or []}, **others}

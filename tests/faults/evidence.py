"""What is left of a story: how it ended, what people can read of it, and what must not have been at any moment."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from itertools import groupby
from typing import Any

from faults.scene import NAME
from faults.stories import MILLIONTH, WHOLE, End, Story, is_unreported
from support.recorder import ACTIONS, DEPLOYMENTS, EVENTS, REPORTS, ROLLOUTS, ROUTES, Trail
from support.watching import Object

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT")
_OF_THIS_RUN = {"message", "value", "samples", "loadSeconds", "uid", "course"}


def end_of(trail: Trail, expected: End) -> End:
    """How it stands now, as far as `expected` says anything of it."""
    rollout = trail.objects(ROLLOUTS).get(NAME)
    seen = End(
        phase="gone",
        stable="",
        attempt=0,
        pods={name.removeprefix(f"{NAME}-"): one["spec"]["replicas"] for name, one in _deployments(trail).items()},
        weights=weights_of(trail.objects(ROUTES).get(NAME)),
        stages=tuple(_stages(trail)),
        steps_back=tuple(_steps_back(trail)),
        reports=tuple(_reports(trail)),
        answers={name: one.get("status", {}).get("outcome", "") for name, one in trail.objects(ACTIONS).items()},
    )
    status = (rollout or {}).get("status") or {}
    if "phase" not in status:
        return seen
    conditions = {one["type"]: one["status"] for one in status["conditions"]}
    return replace(
        seen,
        phase=status["phase"],
        stable=_version(status.get("stable")),
        previous=_version(status.get("previous")),
        attempt=status["attempt"],
        last_revert=_revert(status.get("lastRevert")),
        unreported=tuple(one["attempt"] for one in status["records"] if is_unreported(one)),
        conditions={kind: conditions.get(kind, "") for kind in expected.conditions},
    )


def events_of(trail: Trail) -> Counter[str]:
    """How often each reason was told of."""
    ours = (one for one in trail.objects(EVENTS).values() if one["regarding"]["kind"] == "ModelRollout")
    return Counter(one["reason"] for one in ours)


def differences(trail: Trail, story: Story) -> list[str]:
    """In what it stands otherwise than the story must end."""
    seen, wanted = asdict(end_of(trail, story.end)), asdict(story.end)
    return [f"{name} is {seen[name]!r} and not {value!r}" for name, value in wanted.items() if seen[name] != value]


def lasting(status: Any) -> Any:
    """A status without moments, texts that name some, and what is another one each time."""
    if isinstance(status, Mapping):
        named = {name: value for name, value in status.items() if name not in _OF_THIS_RUN}
        return {name: lasting(value) for name, value in named.items() if not _MOMENT.match(str(value))}
    return [lasting(one) for one in status] if isinstance(status, list) else status


def violations(trail: Trail) -> Iterator[str]:
    """Every moment at which something was as it must never be."""
    status: Object = {}
    wanted = 0
    deployments: dict[str, Object] = {}
    weights: dict[str, int] = {}
    for state in trail.states():
        found = state.object
        match state.resource, found:
            case (resource, {"spec": spec, "status": {"phase": _} as written}) if resource == ROLLOUTS:
                yield from _of_attempts(status, written)
                status, wanted = written, spec["replicas"]
            case (resource, {}) if resource == DEPLOYMENTS:
                deployments[state.name.removeprefix(f"{NAME}-")] = found
            case (resource, {}) if resource == ROUTES:
                now = weights_of(found)
                yield from _of_weights(status, weights, now, deployments)
                weights = now
            case _:
                continue
        yield from _of_stable(status, wanted, deployments)


def weights_of(route: Object | None) -> dict[str, int]:
    """Weight by colour."""
    backends = route["spec"]["rules"][0]["backendRefs"] if route else []
    return {backend["name"].removeprefix(f"{NAME}-"): backend["weight"] for backend in backends}


def _of_attempts(before: Object, now: Object) -> Iterator[str]:
    steps = now["attempt"] - before.get("attempt", 0)
    if steps not in (0, 1):
        yield f"attempt {now['attempt']} came after attempt {before.get('attempt', 0)}"


def _of_weights(
    status: Object, before: Mapping[str, int], now: Mapping[str, int], deployments: Mapping[str, Object]
) -> Iterator[str]:
    """The status is written first, so a route may give no more than the status before it says."""
    if sum(now.values()) != WHOLE:
        yield f"the weights are {now}"
    stable, candidate = (status.get(part) or {} for part in ("stable", "candidate"))
    step = status.get("stage") or status.get("wayBack") or {}
    declared = step.get("weight", 0) if status.get("phase") in ("Progressing", "Reverting") else 0
    for colour, weight in now.items():
        most = WHOLE if colour == stable.get("colour") else MILLIONTH
        if colour == candidate.get("colour"):
            most = max(declared * WHOLE // 100, MILLIONTH)
        if weight > most:
            yield f"{colour} got {weight} where {most} was the most, in {status.get('phase')} {step}"
        ready = deployments.get(colour, {}).get("status", {}).get("readyReplicas", 0)
        if weight > max(before.get(colour, 0), MILLIONTH) and not ready:
            yield f"{colour} rose to {weight} without a ready pod"


def _of_stable(status: Object, wanted: int, deployments: Mapping[str, Object]) -> Iterator[str]:
    colour = (status.get("stable") or {}).get("colour", "")
    if colour in deployments and deployments[colour]["spec"]["replicas"] < wanted:
        yield f"stable, in {colour}, was told to have {deployments[colour]['spec']['replicas']} of {wanted} pods"


def _stages(trail: Trail) -> Iterator[str]:
    """Through which stages candidates went, each once in a row."""
    each = [f"#{status['attempt']} {status['stage']['name']}" for status in _statuses(trail) if status.get("stage")]
    return (name for name, _ in groupby(each) if not name.startswith("#1 "))


def _steps_back(trail: Trail) -> Iterator[int]:
    """By which steps a candidate went back, each once in a row."""
    each = [status["wayBack"]["weight"] for status in _statuses(trail) if status.get("wayBack")]
    return (weight for weight, _ in groupby(each))


def _statuses(trail: Trail) -> Iterator[Object]:
    return (state.object.get("status", {}) for state in trail.states() if state.resource == ROLLOUTS and state.object)


def _reports(trail: Trail) -> Iterator[str]:
    """What the RolloutReports tell, the oldest attempt first."""
    for report in sorted(trail.objects(REPORTS).values(), key=lambda one: int(one["spec"]["attempt"])):
        told = report["status"]
        timeline = ", ".join(map(_entry, told["timeline"]))
        actions = "".join(f"; {one['action']} {one['outcome']}" for one in _asked_of(told))
        yield f"#{report['spec']['attempt']} {told['outcome']}: {timeline}{actions}"


def _asked_of(told: Object) -> list[Object]:
    """The actions, without the one that an attempt began with if both were one decision: it was asked of none."""
    return [one for one in told.get("actions", []) if one["at"] != told["started"]]


def _entry(entry: Object) -> str:
    """What happened, the stage that was left by it, and what each SLO said there."""
    said = " and ".join(f"{one['name']} {one['verdict']}" for one in entry.get("evidence", []))
    left = f" left {entry['left']}" if "left" in entry else ""
    return f"{entry['reason']}{left}" + (f" ({said})" if said else "")


def _deployments(trail: Trail) -> dict[str, Object]:
    return trail.objects(DEPLOYMENTS)


def _version(part: Object | None) -> str:
    return f"{part['colour']} {part['version']} #{part['attempt']}" if part else ""


def _revert(record: Object | None) -> str:
    return f"{record['version']} #{record['attempt']} {record['reason']} at {record['stage']}" if record else ""

"""What pods tell of containers that have ended, in the words of a kubelet."""

from datetime import UTC, datetime
from typing import Any

import pytest

from modelrollout.api.status import Colour
from modelrollout.engine.snapshot import Crash
from modelrollout.workloads.crashes import crashes, restarts_when_ready

BEGUN, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"
RUNNING: dict[str, Any] = {"state": {"running": {"startedAt": LATER}}}
WAITING = {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}}


def ended(reason: str, code: int, *, at: str = LATER) -> dict[str, Any]:
    return {"terminated": {"reason": reason, "exitCode": code, "startedAt": BEGUN, "finishedAt": at}}


def container(*states: dict[str, Any], restarts: int = 0, ready: bool = False, name: str = "server") -> dict[str, Any]:
    one = {"name": name, "restartCount": restarts, "ready": ready}
    for state in states:
        one |= state
    return one


def pod(
    *containers: dict[str, Any], ready: str = "False", since: str = BEGUN, init: tuple[dict[str, Any], ...] = ()
) -> dict[str, Any]:
    labels = {"modelrollout.io/name": "scorer", "modelrollout.io/colour": "green", "modelrollout.io/attempt": "7"}
    conditions = [
        {"type": "Initialized", "status": "True", "lastTransitionTime": BEGUN},
        {"type": "Ready", "status": ready, "lastTransitionTime": since},
    ]
    statuses = {"containerStatuses": list(containers), "initContainerStatuses": list(init)}
    metadata = {"name": "scorer-green-x", "uid": "u1", "labels": labels}
    return {"metadata": metadata, "status": {"conditions": conditions, **statuses}}


def test_a_container_that_was_killed_for_its_memory_and_runs_again() -> None:
    seen = pod(
        container(RUNNING, {"lastState": ended("OOMKilled", 137)}, restarts=1, ready=True), ready="True", since=LATER
    )
    (crash,) = crashes(seen, {})
    assert crash == Crash(
        colour=Colour.GREEN,
        attempt=7,
        pod="scorer-green-x",
        container="server",
        restarts=1,
        restarts_since_ready=0,
        was_ready=True,
        looping=False,
        reason="OOMKilled",
        exit_code=137,
        ended_at=datetime(2026, 1, 1, 0, 5, tzinfo=UTC),
    )
    assert crash.is_out_of_memory


def test_a_container_that_has_just_ended_and_one_whose_start_waits() -> None:
    first, second = crashes(
        pod(
            container({"state": ended("Error", 3), "lastState": ended("OOMKilled", 137, at=BEGUN)}, restarts=2),
            container(WAITING, {"lastState": ended("Error", 1)}, restarts=4, name="proxy"),
        ),
        {},
    )
    assert (first.reason, first.exit_code, first.looping, first.container) == ("Error", 3, False, "server")
    assert (second.reason, second.restarts, second.looping, second.container) == ("Error", 4, True, "proxy")


@pytest.mark.parametrize(
    ("ready", "since", "was_ready"), [("True", LATER, True), ("False", LATER, True), ("False", BEGUN, False)]
)
def test_a_pod_that_has_been_ready_is_told_from_one_that_never_was(ready: str, since: str, was_ready: bool) -> None:
    (crash,) = crashes(pod(container(WAITING, restarts=2), ready=ready, since=since), {})
    assert crash.was_ready is was_ready


def test_what_happened_before_a_container_was_first_ready_is_not_counted_since() -> None:
    running = pod(container(RUNNING, restarts=4, ready=True), container(RUNNING, name="proxy"), ready="True")
    ready_at = dict(restarts_when_ready(running))
    assert ready_at == {("u1", "server"): 4}
    (crash,) = crashes(pod(container(WAITING, restarts=6)), ready_at)
    assert (crash.restarts, crash.restarts_since_ready, crash.was_ready) == (6, 2, True)


@pytest.mark.parametrize(
    "seen",
    [
        pod(container(RUNNING, ready=True), ready="True"),
        pod(container({"state": {"waiting": {"reason": "ContainerCreating"}}})),
        pod(container(RUNNING), init=(container({"state": ended("Completed", 0)}, name="fetch", ready=True),)),
        {"metadata": pod()["metadata"]},
        {"metadata": pod()["metadata"], "status": {"phase": "Pending"}},
    ],
    ids=["running", "creating", "initialized", "no status", "pending"],
)
def test_a_pod_that_goes_well_has_nothing_to_tell(seen: dict[str, Any]) -> None:
    assert crashes(seen, {}) == []


def test_an_init_container_that_fails_is_told_and_one_that_loops_without_a_last_state_too() -> None:
    (failed,) = crashes(pod(init=(container({"state": ended("Error", 2)}, name="fetch"),)), {})
    assert (failed.container, failed.exit_code) == ("fetch", 2)
    (looping,) = crashes(pod(container(WAITING)), {})
    assert (looping.reason, looping.exit_code, looping.ended_at) == ("", None, None)


def test_who_ends_a_pod_is_to_blame_for_how_its_containers_end() -> None:
    seen = pod(container({"state": ended("OOMKilled", 137)}, restarts=1))
    seen["metadata"]["deletionTimestamp"] = LATER
    assert crashes(seen, {}) == []

"""What a fleet costs that has nothing to do."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

from kubernetes.client import ApiClient

import testbed
from stack.history import Object
from stack.operator_process import eventually, grant, grant_lease, running
from stack.rollout import Rollout

FLEET = 50
WATCHED_FOR = 60.0
"""Seconds."""


def test_an_idle_fleet_costs_no_request_beyond_watches_and_the_lease(
    bed: testbed.Bed, client: ApiClient, namespace: str, tmp_path: Path
) -> None:
    grant(bed)
    lease = grant_lease(bed, namespace=namespace)
    fleet = [Rollout(bed, client, namespace, f"idle-{number}", replicas=1) for number in range(FLEET)]
    with running(bed, tmp_path, lease) as operator, running(bed, tmp_path, lease):
        for rollout in fleet:
            rollout.apply("1.0.0")
        eventually(
            lambda: operator.metric("modelrollout_rollouts", phase="Idle") == FLEET, "all to be idle", seconds=60
        )
        eventually(lambda: len(_everywhere(bed)) == FLEET, "what other tests have left to be deleted", seconds=120)
        eventually(lambda: not _requests(bed, since=_ago(3)), "the requests of their start to end", seconds=60)
        begun = datetime.now(UTC)
        time.sleep(WATCHED_FOR)
        assert _requests(bed, since=begun) == []
        renewed, looked_at = (_of_the_lease(bed, verb, since=begun) for verb in ("patch", "get"))
        assert renewed <= WATCHED_FOR, "of the one that leads"
        assert looked_at <= WATCHED_FOR, "by the one that stands by"


def _everywhere(bed: testbed.Bed) -> list[Object]:
    rollouts: list[Object] = bed.get("modelrollouts", "--all-namespaces")["items"]
    return rollouts


def _requests(bed: testbed.Bed, *, since: datetime) -> list[str]:
    """What the operators asked of the API server, watches and the Lease excepted."""
    return [
        f"{entry['verb']} {entry['requestURI']}"
        for entry in _asked(bed, since)
        if entry["verb"] != "watch" and entry["objectRef"]["resource"] != "leases"
    ]


def _of_the_lease(bed: testbed.Bed, verb: str, *, since: datetime) -> int:
    """How often they did that to the Lease."""
    lease = [entry for entry in _asked(bed, since) if entry["objectRef"]["resource"] == "leases"]
    assert {entry["verb"] for entry in lease} == {"get", "patch"}
    return len([entry for entry in lease if entry["verb"] == verb])


def _asked(bed: testbed.Bed, since: datetime) -> list[Object]:
    entries: list[Object] = [json.loads(line) for line in bed.audit_log.read_text().splitlines()]
    return [
        entry
        for entry in entries
        if entry["user"]["username"] == "operator"
        and datetime.fromisoformat(entry["requestReceivedTimestamp"]) >= since
    ]


def _ago(seconds: float) -> datetime:
    return datetime.fromtimestamp(time.time() - seconds, UTC)

"""What quotas and the scheduler say against pods, in their own words."""

from datetime import UTC, datetime
from typing import Any

import pytest

from modelrollout.engine.snapshot import Shortage, Workload
from modelrollout.workloads.shortage import is_unschedulable, over_quota, with_unscheduled

LATER, SOONER = "2026-01-01T00:01:00Z", "2026-01-01T00:00:30Z"
NO_GPU = (
    "0/3 nodes are available: 2 Insufficient nvidia.com/gpu, 1 node(s) had untolerated taint {a: b}. preemption: "
    "0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming "
    "pod."
)
NO_SUCH_NODE = (
    "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes are "
    "available: 3 Preemption is not helpful for scheduling."
)
NO_PREEMPTION = "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."
OVER = 'pods "scorer-green-x" is forbidden: exceeded quota: gpus, requested: pods=1, used: pods=5, limited: pods=5'


def workload(**changes: Any) -> Workload:
    seen: dict[str, Any] = {"revision": "a", "attempt": 2, "version": "2.0.0", "desired": 4, "ready": 1, "answering": 1}
    return Workload(**(seen | {"settled": True, "total": 4} | changes))


def pod(message: str = NO_GPU, *, reason: str = "Unschedulable", since: str = LATER) -> Any:
    said = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    return {"status": {"conditions": [{"type": "Ready", "status": "False"}, said | {"lastTransitionTime": since}]}}


def failure(message: str, status: str = "True") -> dict[str, str]:
    return {"type": "ReplicaFailure", "status": status, "message": message, "lastTransitionTime": LATER}


def test_a_quota_that_is_used_up_is_a_shortage_since_it_first_said_so() -> None:
    since = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    assert over_quota([failure(OVER)]) == Shortage(reason="QuotaExceeded", message=OVER, since=since)


@pytest.mark.parametrize("condition", [failure(OVER, "False"), failure('pods "x" is forbidden: violates PodSecurity')])
def test_what_is_over_or_no_matter_of_room_is_no_shortage(condition: dict[str, str]) -> None:
    assert over_quota([condition]) is None


def test_pods_without_a_node_take_up_no_room_and_lack_it_since_the_first_of_them() -> None:
    seen = with_unscheduled(workload(), [pod(since=LATER), pod(since=SOONER)])
    assert (seen.placed, seen.message) == (2, NO_GPU)
    assert seen.shortage
    assert (seen.shortage.reason, seen.shortage.since) == ("Unschedulable", datetime.fromisoformat(SOONER))


def test_where_no_node_is_the_right_one_room_is_not_what_is_short() -> None:
    seen = with_unscheduled(workload(), [pod(NO_SUCH_NODE)])
    assert (seen.placed, seen.message, seen.shortage) == (3, NO_SUCH_NODE, None)


def test_without_a_word_about_preemption_room_may_be_what_is_short() -> None:
    assert with_unscheduled(workload(), [pod(NO_PREEMPTION)]).shortage


def test_a_quota_has_the_word_where_both_are_short() -> None:
    quota = over_quota([failure(OVER)])
    seen = with_unscheduled(workload(total=3, message=OVER, shortage=quota), [pod()])
    assert (seen.placed, seen.message, seen.shortage) == (2, OVER, quota)


def test_a_pod_that_nobody_has_looked_at_yet_or_that_is_gated_has_room() -> None:
    assert is_unschedulable(pod())
    assert not is_unschedulable(pod(reason="SchedulingGated"))
    assert not is_unschedulable({"status": {"phase": "Pending"}})
    assert with_unscheduled(workload(), []) == workload()

"""Two operators, one of which acts: whatever becomes of it, the other goes on from there and does nothing twice."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kubernetes.client import ApiClient

import testbed
from stack.operator_process import OperatorProcess, eventually, grant, grant_lease, running
from stack.rollout import Rollout
from stack.served import steps, steps_held

TAKES_OVER_WITHIN = 25.0
"""Seconds: the Lease's duration, two tries of 1.8 s at most, and something for a busy machine."""
MAKES_ROOM_WITHIN = 6.0
"""The same for one that lets go of the Lease: much less than the duration of the Lease."""
ONCE_EACH = ["AttemptStarted", "Promoted", "AttemptStarted", *["StageEntered"] * 3, "Promoted"]

Pair = tuple[OperatorProcess, OperatorProcess]


@pytest.fixture
def rollout(bed: testbed.Bed, client: ApiClient, namespace: str) -> Rollout:
    """A rollout that stays in its second stage for as long as it takes to kill an operator."""
    return Rollout(bed, client, namespace, strategy=steps_held((20, "1s"), (50, "6s"), (100, "1s")))


@pytest.fixture
def pair(bed: testbed.Bed, namespace: str, tmp_path: Path) -> Iterator[Pair]:
    """The operator that leads, and the one that stands by."""
    grant(bed)
    lease = grant_lease(bed, namespace=namespace)
    with running(bed, tmp_path, lease) as first:
        eventually(lambda: first.leads, "the first one to lead")
        with running(bed, tmp_path, lease) as second:
            yield first, second


def test_one_acts_and_the_other_is_ready_and_does_nothing(pair: Pair, rollout: Rollout) -> None:
    leader, other = pair
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    assert (leader.leads, other.leads) == (True, False)
    assert other.get("/readyz").is_success
    assert other.metric("modelrollout_reconcile_seconds_count") == 0
    assert leader.metric("modelrollout_reconcile_seconds_count") > 0
    asked = {verb: other.metric("modelrollout_api_requests_total", verb=verb) for verb in WRITES}
    assert asked == dict.fromkeys(WRITES, 0)


WRITES = ("apply", "patch", "update", "delete", "create")


def test_killed_in_the_middle_of_a_stage_the_other_goes_on_from_there(pair: Pair, rollout: Rollout) -> None:
    leader, other = pair
    in_second_stage(rollout)
    leader.kill()
    killed = time.monotonic()
    eventually(lambda: other.leads, "the other one to take over", seconds=TAKES_OVER_WITHIN)
    assert time.monotonic() - killed > MAKES_ROOM_WITHIN, "not before the Lease has run out"
    assert rollout.serves("2.0.0")["attempt"] == 2
    events_are(rollout, ONCE_EACH)


def test_told_to_end_it_makes_room_at_once(pair: Pair, rollout: Rollout) -> None:
    leader, other = pair
    in_second_stage(rollout)
    assert leader.end() == 0
    eventually(lambda: other.leads, "the other one to take over", seconds=MAKES_ROOM_WITHIN)
    assert rollout.serves("2.0.0")["attempt"] == 2
    events_are(rollout, ONCE_EACH)


def test_frozen_until_another_leads_it_does_no_harm_and_ends(pair: Pair, rollout: Rollout) -> None:
    """When it goes on, it believes what it saw before: a stage to leave, and a version that was never asked for."""
    leader, other = pair
    in_second_stage(rollout)
    with frozen(leader):
        eventually(lambda: other.leads, "the other one to take over", seconds=TAKES_OVER_WITHIN)
        rollout.serves("2.0.0")
        rollout.apply("3.0.0", strategy=steps(50, 100, hold="6s"))
        rollout.wait_for(lambda status: "reachedAt" in status.get("stage", {}), "the first stage of the next version")
    assert leader.process.wait(timeout=10) == 1
    assert "not leading any more" in leader.log.read_text()
    assert rollout.serves("3.0.0")["attempt"] == 3
    events_are(rollout, [*ONCE_EACH, "AttemptStarted", *["StageEntered"] * 2, "Promoted"])
    assert other.metric("modelrollout_transitions_total", reason="StageEntered") == 1 + 2


def test_without_an_api_server_the_one_that_leads_gives_up_and_the_other_waits(
    bed: testbed.Bed, pair: Pair, rollout: Rollout
) -> None:
    leader, other = pair
    in_second_stage(rollout)
    bed.stop("kube-apiserver")
    try:
        assert leader.process.wait(timeout=TAKES_OVER_WITHIN) == 1
    finally:
        bed.start("kube-apiserver")
    assert "was not renewed in time" in leader.log.read_text()
    eventually(lambda: other.leads, "the other one to take over", seconds=TAKES_OVER_WITHIN)
    assert rollout.serves("2.0.0")["attempt"] == 2
    events_are(rollout, ONCE_EACH)


def test_two_that_do_not_know_of_each_other_do_no_harm_and_nothing_twice(
    bed: testbed.Bed, rollout: Rollout, tmp_path: Path
) -> None:
    """As when an operator of an earlier version, which knew of no Lease, has not ended yet."""
    grant(bed)
    with running(bed, tmp_path) as first, running(bed, tmp_path) as second:
        rollout.apply("1.0.0")
        rollout.serves("1.0.0")
        rollout.apply("2.0.0")
        assert rollout.serves("2.0.0")["attempt"] == 2
        events_are(rollout, ONCE_EACH)
        assert (first.leads, second.leads) == (True, True)


def in_second_stage(rollout: Rollout) -> None:
    """Version 2.0.0 is in its second stage, and has said so."""
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    rollout.apply("2.0.0")
    rollout.wait_for(lambda status: status.get("stage", {}).get("name") == "canary-50", "the second stage")
    eventually(lambda: rollout.events().count("StageEntered") == 2, "its event")


@contextmanager
def frozen(operator: OperatorProcess) -> Iterator[None]:
    """Its process is stopped where it is, and goes on afterwards as if nothing had been."""
    operator.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        operator.process.send_signal(signal.SIGCONT)


def events_are(rollout: Rollout, expected: list[str]) -> None:
    """Exactly these, once each; the last of them may still be on its way."""
    eventually(lambda: len(rollout.events()) >= len(expected), f"{len(expected)} events")
    assert rollout.events() == expected

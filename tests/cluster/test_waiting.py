"""`kubectl wait` on a ModelRollout."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes.client import ApiClient

import testbed
from cluster.gitops_tools import manifest
from stack.operator_process import grant, running
from stack.rollout import Rollout

HELD = {"canary": {"steps": [{"weight": 50, "hold": "1h"}, {"weight": 100}]}}
QUICK = {"canary": {"steps": [{"weight": 50, "hold": "0s"}, {"weight": 100, "hold": "0s"}]}}
PENDING = {
    "metadata": {"labels": {"testbed/stays-pending": "x"}},
    "spec": {"containers": [{"name": "server", "image": "scorer"}]},
}


@pytest.fixture
def rollout(bed: testbed.Bed, client: ApiClient, namespace: str) -> Rollout:
    return Rollout(bed, client, namespace, replicas=2, strategy=HELD)


@pytest.fixture
def operator(bed: testbed.Bed, tmp_path: Path) -> Iterator[None]:
    grant(bed)
    with running(bed, tmp_path):
        yield


def is_ready(rollout: Rollout, *, within: int) -> bool:
    """Whether the wait ends well in so many seconds."""
    wait = ("wait", "-n", rollout.namespace, "--for=condition=Ready", f"--timeout={within}s", "mr/scorer")
    try:
        rollout.bed.kubectl(*wait)
    except testbed.BedError as error:
        if "timed out waiting for the condition" in str(error):
            return False
        raise
    return True


def test_a_new_one_is_not_ready_before_an_operator_has_spoken(
    bed: testbed.Bed, rollout: Rollout, tmp_path: Path
) -> None:
    rollout.apply("1.0.0")
    assert not is_ready(rollout, within=2)
    grant(bed)
    with running(bed, tmp_path):
        assert is_ready(rollout, within=30)
        assert rollout.status()["stable"]["version"] == "1.0.0"


def test_a_canary_is_not_waited_for(operator: None, rollout: Rollout) -> None:
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    rollout.apply("2.0.0")
    assert is_ready(rollout, within=10)
    rollout.wait_for(lambda status: "reachedAt" in status.get("stage", {}), "the first stage")
    assert is_ready(rollout, within=10)


def test_who_wants_to_wait_for_the_whole_rollout_can(operator: None, rollout: Rollout) -> None:
    rollout.apply("1.0.0", readyWhen="Complete")
    assert is_ready(rollout, within=30)
    rollout.apply("2.0.0")
    assert not is_ready(rollout, within=3)
    rollout.apply("2.0.0", strategy=QUICK)
    assert is_ready(rollout, within=30)
    assert rollout.status()["stable"]["version"] == "2.0.0"


@pytest.mark.parametrize("ready_when", ["Serving", "Complete"])
def test_what_was_taken_back_is_not_ready_until_somebody_acts(
    operator: None, rollout: Rollout, ready_when: str
) -> None:
    rollout.apply("1.0.0", readyWhen=ready_when)
    rollout.serves("1.0.0")
    template = manifest("1.0.0")["spec"]["template"]
    rollout.apply("2.0.0", template=PENDING, progressDeadline="2s")
    rollout.wait_for(lambda status: status["phase"] == "Reverted", "the new version to be taken back")
    assert not is_ready(rollout, within=2)
    rollout.apply("1.0.0", template=template)
    assert is_ready(rollout, within=30)

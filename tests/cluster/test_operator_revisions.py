"""What is kept of what attempts ran, on a real API server."""

from collections.abc import Iterator

import pytest
from kubernetes.client import ApiClient

import testbed
from stack.history import Object
from stack.operator_process import OperatorProcess, eventually, grant, running
from stack.rollout import Rollout

AT_ONCE = {"canary": {"steps": [{"weight": 100, "hold": "0s"}]}}


@pytest.fixture(scope="module")
def operator(bed: testbed.Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    grant(bed)
    with running(bed, tmp_path_factory.mktemp("operator")) as operator:
        yield operator


@pytest.fixture
def rollout(bed: testbed.Bed, client: ApiClient, namespace: str) -> Rollout:
    return Rollout(bed, client, namespace, strategy=AT_ONCE)


def records(rollout: Rollout) -> dict[str, Object]:
    """The data of the records by name."""
    items = rollout.get("controllerrevisions")["items"]
    return {one["metadata"]["name"]: one["data"] for one in items}


def test_the_newest_attempts_are_kept_and_older_ones_pruned(operator: OperatorProcess, rollout: Rollout) -> None:
    for version in ("1.0.0", "2.0.0", "3.0.0", "4.0.0"):
        rollout.apply(version, revisionHistoryLimit=1)
        status = rollout.serves(version)
    assert [(one["version"], one["outcome"]) for one in status["history"]] == [
        ("4.0.0", "Promoted"),
        ("3.0.0", "Promoted"),
        ("2.0.0", "Promoted"),
    ]
    kept = eventually(lambda: records(rollout) if len(records(rollout)) == 3 else None, "the oldest record to go")
    assert {name: data["model"]["version"] for name, data in kept.items()} == {
        "scorer-2": "2.0.0",
        "scorer-3": "3.0.0",
        "scorer-4": "4.0.0",
    }


def test_nobody_can_change_what_an_attempt_ran(operator: OperatorProcess, rollout: Rollout) -> None:
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    changed = '{"data": {"model": {"version": "6.6.6"}}}'
    with pytest.raises(testbed.BedError, match="immutable"):
        rollout.bed.kubectl(
            "-n", rollout.namespace, "patch", "controllerrevision", "scorer-1", "--type=merge", "--patch", changed
        )
    assert records(rollout)["scorer-1"]["model"]["version"] == "1.0.0"


def test_a_record_that_somebody_deletes_is_written_again(operator: OperatorProcess, rollout: Rollout) -> None:
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    before = records(rollout)
    rollout.bed.kubectl("-n", rollout.namespace, "delete", "controllerrevision", "scorer-1")
    eventually(lambda: records(rollout) == before, "the record to be there again")


def test_deleting_a_rollout_with_the_policy_delete_takes_its_history_along(
    operator: OperatorProcess, rollout: Rollout
) -> None:
    rollout.apply("1.0.0", deletionPolicy="Delete")
    rollout.serves("1.0.0")
    rollout.bed.kubectl("-n", rollout.namespace, "delete", "mr", "scorer", "--timeout=30s")
    eventually(lambda: not records(rollout), "the records to be deleted")

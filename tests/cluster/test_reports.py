"""RolloutReports on a real API server: what kubectl alone says of an attempt, and what outlives a ModelRollout."""

import testbed
from stack.operator_process import OperatorProcess, eventually
from stack.rollout import Rollout

PENDING = {
    "metadata": {"labels": {"testbed/stays-pending": "x"}},
    "spec": {"containers": [{"name": "server", "image": "scorer"}]},
}


def outcomes(rollout: Rollout) -> list[str]:
    return [one["status"]["outcome"] for one in rollout.get("mrr")["items"]]


def test_kubectl_lists_attempts_with_how_they_ended(
    bed: testbed.Bed, operator: OperatorProcess, rollout: Rollout
) -> None:
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    rollout.apply("2.0.0")
    rollout.serves("2.0.0")
    eventually(lambda: outcomes(rollout) == ["Promoted", "Promoted"], "both reports")
    titles, first, second = bed.kubectl("get", "mrr", f"--namespace={rollout.namespace}").splitlines()
    assert titles.split() == ["NAME", "ROLLOUT", "ATTEMPT", "VERSION", "OUTCOME", "STARTED", "DURATION"]
    assert first.split()[:5] == ["scorer-1", "scorer", "1", "1.0.0", "Promoted"]
    assert second.split()[:5] == ["scorer-2", "scorer", "2", "2.0.0", "Promoted"]
    (record,) = rollout.status()["records"]
    eventually(lambda: rollout.status()["records"][0]["reported"] == len(record["timeline"]), "the status to say so")


def test_an_attempt_that_never_took_a_request_has_its_report(operator: OperatorProcess, rollout: Rollout) -> None:
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    rollout.apply("2.0.0", template=PENDING, progressDeadline="2s")
    eventually(lambda: outcomes(rollout) == ["Promoted", "Reverted"], "the report of the revert")
    told = rollout.get("mrr", "scorer-2")["status"]
    assert told["reason"] == "ProgressDeadlineExceeded"
    assert "ready pods of version 2.0.0" in told["message"]
    assert [entry["reason"] for entry in told["timeline"]] == ["AttemptStarted", "Reverting", "Reverted"]


def test_reports_outlive_the_rollout_with_a_last_word_on_what_was_under_way(
    operator: OperatorProcess, rollout: Rollout
) -> None:
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    rollout.apply("2.0.0", template=PENDING)
    eventually(lambda: outcomes(rollout) == ["Promoted", "InProgress"], "the second report")
    rollout.bed.kubectl("-n", rollout.namespace, "delete", "mr", "scorer", "--cascade=foreground", "--timeout=60s")
    assert outcomes(rollout) == ["Promoted", "Deleted"]


def test_reports_go_with_the_rollout_under_the_policy_delete(operator: OperatorProcess, rollout: Rollout) -> None:
    rollout.apply("1.0.0")
    rollout.serves("1.0.0")
    eventually(lambda: outcomes(rollout) == ["Promoted"], "the report")
    rollout.apply("1.0.0", deletionPolicy="Delete")
    rollout.bed.kubectl("-n", rollout.namespace, "delete", "mr", "scorer", "--timeout=60s")
    eventually(lambda: outcomes(rollout) == [], "the report to go")

"""Long answers: what has no more requests is not at its end yet."""

from datetime import datetime, timedelta

from scenarios.story import ENDLESS, Story, canary, condition_of
from stack.history import Object

LONG = {"targetPort": 8080, "longestAnswer": "13s"}
DRAIN = timedelta(seconds=15)
"""The longest answer, to a request that a proxy may still send for two seconds."""


def _moment(written: str) -> datetime:
    return datetime.fromisoformat(written)


def _left(status: Object) -> datetime:
    """When the candidate was given its last requests."""
    return _moment(status["leftAt"])


def test_a_version_taken_back_keeps_its_pods_until_its_longest_answer_is_given(story: Story) -> None:
    story.begin(strategy=ENDLESS, service=LONG)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    pods = story.watch_pods_of(candidate)
    story.asks("Revert")
    draining = story.says("Progressing", "Draining")
    assert pods.sizes() == [2]
    until = _left(draining) + DRAIN
    told = condition_of(draining, "Progressing")["message"]
    assert told == f"version 2.0.0 finishes its answers until {until:%F %TZ}"
    story.is_taken_back("2.0.0", "RevertRequested")
    story.eventually(lambda: pods.sizes() == [2, 0], "the pods to go")
    (record,) = story.status()["records"]
    assert _moment(record["timeline"][-1]["at"]) >= until, "pods go behind the status that says so"


def test_a_third_version_waits_until_the_second_one_has_given_its_answers(story: Story) -> None:
    story.begin(strategy=ENDLESS, service=LONG)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    pods = story.uids(candidate)
    story.apply("3.0.0", strategy=canary(100))
    draining = story.says("Progressing", "Draining")
    assert story.uids(candidate) == pods
    status = story.wait_for(lambda status: status["attempt"] == 3, "the third version")
    assert status["candidate"]["colour"] == candidate["colour"]
    assert _moment(status["candidate"]["since"]) >= _left(draining) + DRAIN
    story.serves("3.0.0")


def test_a_version_after_a_promotion_waits_for_the_answers_of_the_one_before(story: Story) -> None:
    before = story.begin(service=LONG)
    story.apply("2.0.0")
    promoted = story.serves("2.0.0")["stable"]
    pods = story.uids(before)
    story.apply("3.0.0")
    assert "version 1.0.0 finishes" in condition_of(story.says("Progressing", "Draining"), "Progressing")["message"]
    assert story.uids(before) == pods
    status = story.wait_for(lambda status: status["attempt"] == 3, "the third version")
    assert _moment(status["candidate"]["since"]) >= _moment(promoted["since"]) + DRAIN


def test_deleting_in_mid_stage_waits_for_the_answers_of_the_candidate(story: Story) -> None:
    before = story.begin(strategy=ENDLESS, service=LONG)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.delete()
    told = {entry["reason"]: _moment(entry["at"]) for entry in story.get("mrr", "scorer-2")["status"]["timeline"]}
    assert told["Reverted"] >= told["Reverting"] + DRAIN, "pods go behind that"
    assert story.weights()[before["colour"]] == 100


def test_another_longest_answer_restarts_no_pod_and_holds_for_the_next_version(story: Story) -> None:
    before = story.begin()
    pods = story.uids(before)
    story.apply("1.0.0", service=LONG | {"longestAnswer": "10m"})

    def patience() -> list[str]:
        return [
            rule["timeouts"]["request"] for rule in story.all("httproutes")[0]["spec"]["rules"] if "timeouts" in rule
        ]

    story.eventually(lambda: patience() == ["10m", "10m"], "the route to wait for the longest answer")
    assert story.status()["attempt"] == before["attempt"]
    story.apply("2.0.0")
    after = story.serves("2.0.0")["stable"]
    assert story.uids(before) == pods
    assert {pod.spec.termination_grace_period_seconds for pod in story.pods_of(before)} == {30}
    assert {pod.spec.termination_grace_period_seconds for pod in story.pods_of(after)} == {630}

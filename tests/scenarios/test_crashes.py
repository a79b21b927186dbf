"""Containers that crash or run out of memory, before a version has requests and while it has some."""

from scenarios.story import ENDLESS, NEVER_READY, Story, canary, condition_of

FIRST = ("AttemptStarted", "Promoted")


def test_a_candidate_that_runs_out_of_memory_is_taken_back_at_once(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    stable_pods = story.watch_pods_of(before)
    story.apply("2.0.0")
    pod = story.a_container_ends(story.enters("canary-50")["candidate"], "OOMKilled", 137)
    record = story.is_taken_back("2.0.0", "CandidateOutOfMemory")
    said = f"container server of pod {pod} ran out of memory: restarts 1, last state OOMKilled, exit code 137, at "
    assert record["message"].startswith(said)
    assert record["stage"] == "canary-50"
    story.route_leads_to(before)
    assert stable_pods.least() == 2
    story.tells(*FIRST, "AttemptStarted", "StageEntered", "Reverting", "Reverted")


def test_a_candidate_of_which_one_pod_crashes_again_and_again_is_taken_back_at_once(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    pod = story.a_container_ends(candidate, "Error", 139, restarts=2, is_looping=True)
    record = story.is_taken_back("2.0.0", "CandidateCrashLooping")
    assert f"of pod {pod} crashes again and again: restarts 2, last state Error, exit code 139" in record["message"]
    story.route_leads_to(before)


def test_a_candidate_that_crashed_once_is_waited_for(story: Story) -> None:
    story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    story.apply("2.0.0", strategy=canary(50, 100))
    story.a_container_ends(candidate, "Error", 1)
    story.says("Progressing", "WaitingForPods")
    story.pods_are(candidate, "True")
    assert story.serves("2.0.0")["attempt"] == 2


def test_a_candidate_that_cannot_start_is_taken_back_long_before_its_deadline(story: Story) -> None:
    before = story.begin()
    routes, stable_pods = story.watch_routes(), story.watch_pods_of(before)
    story.apply("2.0.0", template=NEVER_READY)
    candidate = story.says("Progressing", "WaitingForPods")["candidate"]
    story.eventually(lambda: len(story.pods_of(candidate)) == 2, "its pods")
    story.a_container_ends(candidate, "Error", 1, restarts=5, is_looping=True, was_ready=False)
    record = story.is_taken_back("2.0.0", "CandidateCrashLooping")
    assert "restarts 5, last state Error, exit code 1" in record["message"]
    assert len(routes.given()) == 1
    assert stable_pods.least() == 2
    story.tells(*FIRST, "AttemptStarted", "Reverting", "Reverted")


def test_a_candidate_that_needs_a_few_starts_comes_up(story: Story) -> None:
    story.begin()
    story.apply("2.0.0", template=NEVER_READY)
    candidate = story.says("Progressing", "WaitingForPods")["candidate"]
    story.eventually(lambda: len(story.pods_of(candidate)) == 2, "its pods")
    story.a_container_ends(candidate, "Error", 1, restarts=4, is_looping=True, was_ready=False)
    story.a_container_ends(candidate, "Error", 1, restarts=4, was_ready=False)
    story.pods_are(candidate, "True")
    assert story.serves("2.0.0")["attempt"] == 2


def test_what_stable_suffers_from_as_well_holds_the_candidate_and_takes_nobody_back(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    story.a_container_ends(before, "OOMKilled", 137)
    story.a_container_ends(candidate, "OOMKilled", 137)
    story.apply("2.0.0", strategy=canary(50, 100))
    story.says("Progressing", "WaitingForPods")
    story.pods_are(before, "True")
    story.pods_are(candidate, "True")
    status = story.says("Progressing", "SharedIncident")
    assert "ran out of memory" in condition_of(status, "Progressing")["message"]
    assert status["stage"]["name"] == "canary-50"
    story.tells(*FIRST, "AttemptStarted", "StageEntered")

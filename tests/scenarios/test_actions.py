"""What people ask for with a RolloutAction, and what comes of it."""

from scenarios.story import ENDLESS, ERRORS, REPLICAS, Story, canary, condition_of

FIRST = ("AttemptStarted", "Promoted")
IN_STAGE = (*FIRST, "AttemptStarted", "StageEntered")
LONG_AT_100 = {"canary": {"steps": [{"weight": 100, "hold": "1h"}]}}


def test_promote_during_a_pause_passes_over_the_pause(story: Story) -> None:
    story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.asks("Pause", reason="lunch")
    status = story.says("Progressing", "Paused")
    assert "paused by admin: lunch" in condition_of(status, "Progressing")["message"]
    story.asks("Promote")
    story.serves("2.0.0")
    story.tells(*IN_STAGE, "ActionApplied", "ActionApplied", "StageEntered", "Promoted")


def test_promote_passes_over_a_pause_in_the_spec(story: Story) -> None:
    story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.apply("2.0.0", paused=True)
    story.says("Progressing", "Paused")
    story.asks("Promote")
    story.serves("2.0.0")


def test_promote_in_mid_analysis_passes_over_what_is_undecided(story: Story) -> None:
    story.begin(strategy=canary(20, 50, 100))
    story.is_silent("2.0.0")
    story.apply("2.0.0")
    story.says("Progressing", "Undecided")
    story.asks("Promote")
    story.serves("2.0.0")
    story.tells(*IN_STAGE, "ActionApplied", "StageEntered", "Promoted")


def test_promote_does_not_pass_over_harm(story: Story) -> None:
    before = story.begin(strategy=ENDLESS, slos=[ERRORS | {"consecutiveBreaches": 5}])
    story.is_bad("2.0.0")
    story.apply("2.0.0")
    story.wait_for(lambda status: status.get("verdict") == "Breach", "the first breach")
    story.asks("Promote")
    story.is_taken_back("2.0.0", "SLOBreached")
    story.route_leads_to(before)


def test_promote_waits_for_pods_to_carry_everything(story: Story) -> None:
    story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    candidate = story.enters("canary-50")["candidate"]
    story.pods_are(candidate, "False", at_most=1)
    story.eventually(lambda: story.deployment(candidate)["status"].get("readyReplicas") == 1, "one pod to be unready")
    story.asks("Promote")
    story.says("Progressing", "WaitingForPods")
    story.pods_are(candidate, "True")
    story.serves("2.0.0")


def test_promote_after_an_abort_prepares_the_version_anew_and_leaves_its_stages_out(story: Story) -> None:
    story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.asks("Abort")
    story.is_taken_back("2.0.0", "AbortRequested")
    story.asks("Promote")
    assert story.serves("2.0.0")["attempt"] == 3
    story.tells(
        *IN_STAGE,
        *("ActionApplied", "Reverting", "Reverted"),
        *("ActionApplied", "AttemptStarted", "StageEntered", "Promoted"),
    )


def test_abort_then_retry_then_promote_in_exactly_this_order(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    stable_pods = story.watch_pods_of(before)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.asks("Abort")
    story.is_taken_back("2.0.0", "AbortRequested")
    story.says("Stalled", "Reverted", status="True")
    story.asks("Retry")
    story.enters("canary-50")
    story.asks("Promote")
    status = story.serves("2.0.0")
    assert status["attempt"] == 3
    assert [one["action"] for one in status["actions"]] == ["Abort", "Retry", "Promote"]
    assert stable_pods.least() == 2
    story.tells(
        *IN_STAGE,
        *("ActionApplied", "Reverting", "Reverted"),
        *("ActionApplied", "AttemptStarted", "StageEntered"),
        *("ActionApplied", "StageEntered", "Promoted"),
    )


def test_retry_tries_a_bad_version_again(story: Story) -> None:
    story.begin()
    story.is_bad("2.0.0")
    story.apply("2.0.0")
    story.is_taken_back("2.0.0", "SLOBreached")
    story.is_good_again("2.0.0")
    story.asks("Retry")
    assert story.serves("2.0.0")["attempt"] == 3


def test_what_is_asked_while_a_candidate_is_taken_back_is_refused(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.pods_are(before, "False")
    story.says("Ready", "StableUnavailable")
    story.asks("Abort")
    for action in ("Promote", "Retry", "Abort"):
        record = story.asks(action)
        assert record["outcome"] == "Refused"
        assert "being taken back" in record["message"]
    story.pods_are(before, "True")
    story.is_taken_back("2.0.0", "AbortRequested")


def test_advance_leaves_a_stage_before_its_hold_is_over(story: Story) -> None:
    story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.asks("Advance", stage="canary-50")
    story.serves("2.0.0")
    story.tells(*IN_STAGE, "ActionApplied", "StageEntered", "Promoted")


def test_advance_of_a_stage_that_was_left_is_refused(story: Story) -> None:
    story.begin(strategy={"canary": {"steps": [{"weight": 50, "hold": "1s"}, {"weight": 100, "hold": "1h"}]}})
    story.apply("2.0.0")
    story.enters("canary-100")
    record = story.asks("Advance", stage="canary-50")
    assert (record["outcome"], record["message"]) == (
        "Refused",
        "it has left stage canary-50 already and is in canary-100",
    )


def test_what_was_asked_of_an_earlier_attempt_is_refused(story: Story) -> None:
    story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    assert story.asks("Promote", attempt=1)["outcome"] == "Refused"
    assert story.status()["stage"]["name"] == "canary-50"


def test_kill_takes_everything_back_and_nothing_starts_until_it_is_lifted(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    story.asks("Kill", attempt=1)
    story.is_taken_back("2.0.0", "Killed")
    story.route_leads_to(before)
    story.apply("3.0.0", strategy=canary(20, 100))
    story.says("Ready", "Killed", status="False")
    assert story.status()["attempt"] == 2
    story.asks("Lift")
    assert story.serves("3.0.0")["attempt"] == 3


def test_resume_ends_a_pause_that_was_asked_for(story: Story) -> None:
    story.begin(strategy=canary(20, 100))
    story.asks("Pause")
    story.apply("2.0.0")
    story.says("Progressing", "Paused")
    story.asks("Resume")
    story.serves("2.0.0")


def test_approvals_that_nobody_checks_do_not_count(story: Story) -> None:
    """Without the admission policy, which this cluster does not have, anybody could write anybody's name."""
    story.begin(strategy=canary(50, 100, require={"approvals": [{"role": "security"}]}))
    story.apply("2.0.0")
    story.says("Ready", "AwaitingApproval", status="False")
    assert story.asks("Approve", stage="canary-50", role="security", by="alice")["outcome"] == "Refused"
    status = story.says("Progressing", "AwaitingApproval")
    message = condition_of(status, "Progressing")["message"]
    assert "stage canary-50 waits for approval by security (0 of 1)" in message
    assert "install the ValidatingAdmissionPolicy" in message


def test_promote_does_not_pass_over_other_people(story: Story) -> None:
    story.begin(strategy=canary(50, 100, require={"checklist": ["runbook-reviewed"]}))
    story.apply("2.0.0")
    story.says("Progressing", "AwaitingApproval")
    story.asks("Promote")
    story.says("Progressing", "AwaitingApproval")
    for stage in ("canary-50", "canary-100"):
        story.asks("SignOff", stage=stage, item="runbook-reviewed")
    story.serves("2.0.0")


def test_a_gradual_way_back_goes_by_steps(story: Story) -> None:
    before = story.begin(strategy=LONG_AT_100, rollback={"mode": "Gradual", "hold": "1s"})
    story.apply("2.0.0")
    story.enters("canary-100")
    routes = story.watch_routes()
    story.asks("Revert")
    story.is_taken_back("2.0.0", "RevertRequested")
    assert [given[before["colour"]] for given in routes.given()] == [0, 25, 50, 75, 100]


def test_a_gradual_way_back_becomes_an_immediate_one_on_a_breach(story: Story) -> None:
    before = story.begin(strategy=LONG_AT_100, rollback={"mode": "Gradual", "hold": "1h"})
    story.apply("2.0.0")
    candidate = story.enters("canary-100")["candidate"]
    routes = story.watch_routes()
    story.asks("Revert")
    story.wait_for(lambda status: "reachedAt" in status.get("wayBack", {}), "the first step back")
    story.turns_bad(candidate)
    story.is_taken_back("2.0.0", "RevertRequested")
    assert [given[before["colour"]] for given in routes.given()] == [0, 25, 100]


def test_a_breach_is_never_taken_back_gradually(story: Story) -> None:
    before = story.begin(strategy=LONG_AT_100, rollback={"mode": "Gradual", "hold": "1h"})
    story.apply("2.0.0")
    candidate = story.enters("canary-100")["candidate"]
    routes = story.watch_routes()
    story.turns_bad(candidate)
    story.is_taken_back("2.0.0", "SLOBreached")
    assert [given[before["colour"]] for given in routes.given()] == [0, 100]


def test_revert_after_a_promotion_has_the_version_before_serve_again_at_once(story: Story) -> None:
    before = story.begin()
    story.apply("2.0.0")
    after = story.serves("2.0.0")["stable"]
    story.route_leads_to(after)
    routes, pods = story.watch_routes(), story.uids(before)
    story.asks("Revert", reason="complaints")
    story.is_taken_back("2.0.0", "RevertRequested")
    status = story.status()
    assert (status["stable"]["version"], status["phase"]) == ("1.0.0", "Reverted")
    assert [given[before["colour"]] for given in routes.given()] == [0, 100]
    assert story.uids(before) == pods


def test_revert_to_a_version_that_is_gone_is_refused(story: Story) -> None:
    story.begin()
    assert story.asks("Revert", to="0.9.0")["outcome"] == "Refused"
    assert story.status()["stable"]["version"] == "1.0.0"


def test_cohorts_cannot_be_told_apart_by_numbers_of_pods(story: Story) -> None:
    story.begin(traffic=REPLICAS)
    record = story.asks("Exclude", cohort={"header": "x-tenant", "value": "bank"})
    assert (record["outcome"], record["message"]) == (
        "Refused",
        "only traffic.gatewayAPI can tell requests by their headers",
    )


def test_every_pause_and_every_resume_is_told(story: Story) -> None:
    story.begin()
    for action in ("Pause", "Resume", "Pause", "Resume"):
        story.asks(action)
    story.tells(*FIRST, *["ActionApplied"] * 4)


def test_a_version_that_was_undone_stays_away_until_somebody_asks_for_it_again(story: Story) -> None:
    story.begin()
    story.apply("2.0.0")
    story.serves("2.0.0")
    story.asks("Revert")
    story.is_taken_back("2.0.0", "RevertRequested")
    story.says("Stalled", "Reverted", status="True")
    story.asks("Retry")
    assert story.serves("2.0.0")["attempt"] == 3


def test_a_third_version_does_not_wait_for_the_steps_of_a_gradual_way_back(story: Story) -> None:
    before = story.begin(strategy=LONG_AT_100, rollback={"mode": "Gradual", "hold": "1h"})
    story.apply("2.0.0")
    story.enters("canary-100")
    routes = story.watch_routes()
    story.asks("Revert")
    story.wait_for(lambda status: "reachedAt" in status.get("wayBack", {}), "the first step back")
    story.apply("3.0.0", strategy=canary(20, 100))
    status = story.serves("3.0.0")
    assert status["previous"]["version"] == "1.0.0"
    assert [given[before["colour"]] for given in routes.given()] == [0, 25, 100, 80, 0]


def test_asked_again_a_gradual_way_back_is_over_at_once(story: Story) -> None:
    before = story.begin(strategy=LONG_AT_100, rollback={"mode": "Gradual", "hold": "1h"})
    story.apply("2.0.0")
    story.enters("canary-100")
    routes = story.watch_routes()
    story.asks("Revert")
    story.wait_for(lambda status: "reachedAt" in status.get("wayBack", {}), "the first step back")
    story.asks("Revert")
    story.is_taken_back("2.0.0", "RevertRequested")
    assert [given[before["colour"]] for given in routes.given()] == [0, 25, 100]


def test_deleting_a_rollout_on_a_gradual_way_back_leaves_stable_with_everything(story: Story) -> None:
    before = story.begin(strategy=LONG_AT_100, rollback={"mode": "Gradual", "hold": "1h"})
    story.apply("2.0.0")
    story.enters("canary-100")
    story.asks("Revert")
    story.wait_for(lambda status: "reachedAt" in status.get("wayBack", {}), "the first step back")
    story.delete()
    assert story.weights()[before["colour"]] == 100
    assert {one["metadata"]["name"] for one in story.all("deployments")} == {f"scorer-{before['colour']}"}


def test_an_excluded_cohort_gets_a_version_once_it_is_promoted(story: Story) -> None:
    before = story.begin(strategy=canary(50, 100))
    bank = {"header": "x-tenant", "value": "bank"}
    story.asks("Exclude", cohort=bank)
    story.eventually(lambda: story.led_by_header(bank) == {f"scorer-{before['colour']}"}, "the cohort to be excluded")
    story.apply("2.0.0")
    stable = story.serves("2.0.0")["stable"]
    assert stable["colour"] != before["colour"]
    story.eventually(
        lambda: story.led_by_header(bank) == {f"scorer-{stable['colour']}"}, "the cohort on what is stable"
    )
    story.eventually(
        lambda: any(str(one["note"]).endswith("also those with x-tenant: bank") for one in story.all("events")),
        "the event to say so",
    )


def test_an_excluded_cohort_stays_so_when_the_status_is_lost(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    bank = {"header": "x-tenant", "value": "bank"}
    story.asks("Exclude", cohort=bank)
    story.eventually(lambda: story.led_by_header(bank) == {f"scorer-{before['colour']}"}, "the cohort to be excluded")
    story.lose_status()
    status = story.enters("canary-50")
    assert status["excluded"] == [bank]
    assert story.led_by_header(bank) == {f"scorer-{status['stable']['colour']}"}


def test_an_excluded_cohort_stays_on_stable_until_it_is_included_again(story: Story) -> None:
    before = story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.enters("canary-50")
    bank = {"header": "x-tenant", "value": "bank"}
    story.asks("Exclude", cohort=bank)
    story.eventually(lambda: story.led_by_header(bank) == {f"scorer-{before['colour']}"}, "the cohort to be excluded")
    assert set(story.weights().values()) == {50}, "all others are split as before"
    story.asks("Include", cohort=bank)
    story.eventually(lambda: story.led_by_header(bank) == set(), "the cohort to be like all others")

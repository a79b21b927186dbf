"""What Prometheus says of a candidate, and what it does not say."""

import time

from scenarios.story import ENDLESS, ERRORS, Story, canary

FIRST = ("AttemptStarted", "Promoted")


def test_silence_holds_and_takes_nothing_back(story: Story) -> None:
    before = story.begin(strategy=canary(50, 100))
    routes = story.watch_routes()
    story.is_silent("2.0.0")
    story.apply("2.0.0")
    status = story.says("Progressing", "Undecided")
    assert status["verdict"] == "Inconclusive"
    time.sleep(5)
    assert story.status()["stage"]["name"] == "canary-50"
    story.speaks(status["candidate"])
    story.serves("2.0.0")
    assert [given[before["colour"]] for given in routes.given()] == [100, 50, 0]


def test_a_candidate_that_falls_silent_stays_where_it_is(story: Story) -> None:
    story.begin(strategy={"canary": {"steps": [{"weight": 50, "hold": "5s"}, {"weight": 100, "hold": "1s"}]}})
    story.apply("2.0.0")
    candidate = story.wait_for(lambda status: status.get("verdict") == "Pass", "the SLOs to pass")["candidate"]
    story.falls_silent(candidate)
    story.says("Progressing", "Undecided")
    story.speaks(candidate)
    story.serves("2.0.0")


def test_undecided_at_the_deadline_it_is_taken_back_if_the_user_says_so(story: Story) -> None:
    before = story.begin(strategy=canary(50, 100, deadline="2s", onDeadline="Revert"))
    story.is_silent("2.0.0")
    story.apply("2.0.0")
    story.is_taken_back("2.0.0", "StageDeadlineExceeded")
    story.route_leads_to(before)
    story.tells(*FIRST, "AttemptStarted", "StageEntered", "Reverting", "Reverted")


def test_undecided_at_the_deadline_it_goes_on_if_the_user_says_so(story: Story) -> None:
    story.begin(strategy=canary(50, 100, deadline="2s", onDeadline="Advance"))
    story.is_silent("2.0.0")
    story.apply("2.0.0")
    story.serves("2.0.0")


def test_no_deadline_passes_over_a_breach(story: Story) -> None:
    breached = [ERRORS | {"onBreach": "Hold"}]
    story.begin(strategy=canary(50, 100, deadline="2s", onDeadline="Advance"), slos=breached)
    story.is_bad("2.0.0")
    story.apply("2.0.0")
    story.says("Ready", "UndecidedAtDeadline", status="False")
    assert story.status()["stage"]["name"] == "canary-50"


def test_undecided_at_the_deadline_it_holds_and_asks_for_a_person(story: Story) -> None:
    story.begin(strategy=canary(50, 100, deadline="2s"))
    story.is_silent("2.0.0")
    story.apply("2.0.0")
    status = story.says("Ready", "UndecidedAtDeadline", status="False")
    assert status["phase"] == "Progressing"
    story.speaks(status["candidate"])
    story.serves("2.0.0")


def test_a_breach_that_only_holds_is_outlived_when_it_ends(story: Story) -> None:
    story.begin(strategy=canary(50, 100), slos=[ERRORS | {"onBreach": "Hold", "window": "3s"}])
    story.is_bad("2.0.0")
    story.apply("2.0.0")
    status = story.says("Ready", "SLOBreached", status="False")
    assert status["weights"]["declared"] == 50
    story.recovers(status["candidate"])
    story.serves("2.0.0")
    story.tells(*FIRST, "AttemptStarted", "StageEntered", "AboveLimit", "StageEntered", "Promoted")


def test_a_breach_that_only_holds_takes_the_candidate_back_when_it_lasts(story: Story) -> None:
    before = story.begin(strategy=ENDLESS, slos=[ERRORS | {"onBreach": "Hold", "revertAfter": "3s"}])
    story.is_bad("2.0.0")
    story.apply("2.0.0")
    story.says("Ready", "SLOBreached", status="False")
    story.is_taken_back("2.0.0", "SLOBreached")
    story.route_leads_to(before)


def test_one_breach_is_told_and_only_so_many_in_a_row_take_the_candidate_back(story: Story) -> None:
    story.begin(slos=[ERRORS | {"consecutiveBreaches": 3}])
    story.is_bad("2.0.0")
    story.apply("2.0.0")
    record = story.is_taken_back("2.0.0", "SLOBreached")
    assert "breached 3 times in a row" in record["message"]
    story.tells(*FIRST, "AttemptStarted", "StageEntered", "AboveLimit", "Reverting", "Reverted")


def test_an_slo_that_a_stage_does_not_require_may_be_undecided_but_not_breached(story: Story) -> None:
    story.begin(strategy=canary(50, 100, require={"slos": []}))
    story.is_silent("2.0.0")
    story.apply("2.0.0")
    story.serves("2.0.0")
    story.is_bad("3.0.0")
    story.apply("3.0.0", strategy=ENDLESS)
    story.is_taken_back("3.0.0", "SLOBreached")


def test_a_query_that_does_not_parse_is_said_before_any_traffic_moves(story: Story) -> None:
    before = story.begin()
    routes = story.watch_routes()
    wrong = {"name": "wrong", "query": {"value": "sum(("}, "limit": "1"}
    story.apply("2.0.0", slos=[wrong])
    story.says("MetricsReady", "QueryInvalid", status="False")
    assert [given[before["colour"]] for given in routes.given()] == [100]
    story.apply("2.0.0", slos=[ERRORS])
    assert story.serves("2.0.0")["attempt"] == 2


def test_an_answer_that_cannot_be_read_is_neither_harm_nor_health_nor_a_change(story: Story) -> None:
    unreadable = {"name": "ratio", "query": {"value": "vector(0) / 0"}, "limit": "1"}
    story.begin(strategy=canary(50, 100))
    story.apply("2.0.0", slos=[unreadable])
    before = story.says("Progressing", "Undecided")
    assert before["slos"][0]["reason"] == "NotANumber"
    time.sleep(3)
    after = story.status()
    assert (after["attempt"], after["stage"]) == (before["attempt"], before["stage"])
    story.apply("2.0.0", slos=[ERRORS])
    assert story.serves("2.0.0")["attempt"] == 2

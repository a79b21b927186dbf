"""A real model behind Envoy Gateway: good versions are promoted, bad ones are taken back at their first stage."""

import pytest

from e2e.telling import ERRORS_AT_GATEWAY as ERRORS
from e2e.telling import Story, failing_version
from stack import Serve
from stack.evidence import ROUTING_TAKES, Window, by_version, describe, failed, not_the_candidates_own, share
from stack.served import status_of, steps


def good_version(serve: Serve) -> Story:
    """1.1.0 after 1.0.0: stages of 10 and 20 per cent, then everything."""
    with serve("good", strategy=steps(10, 20, 100, hold="5s"), slos=[ERRORS]) as model:
        model.wait_serving("1.0.0")
        with model.load(rate=250, requests=60_000, seconds=240) as load:
            model.roll_out("1.1.0")
            model.wait_stage("1.1.0", "canary-20")
            model.set(paused=True)
            model.wait_for_requests(load, 5_300, timeout=180)
            model.set(paused=False)
            promoted = model.wait_serving("1.1.0").at
            model.wait_for_requests(load, 200, sent_after=promoted + ROUTING_TAKES)
            return Story(model, load.stop())


@pytest.mark.story(told_by=good_version)
class TestGoodVersion:
    def test_no_request_fails(self, story: Story) -> None:
        assert not failed(story.answers), describe(failed(story.answers))

    def test_serves_everything_in_the_end(self, story: Story) -> None:
        promoted = story.model.wait_serving("1.1.0").at + ROUTING_TAKES
        assert by_version(answer for answer in story.answers if answer.sent_at > promoted).keys() == {"1.1.0"}

    def test_goes_through_the_stages_in_order(self, story: Story) -> None:
        stages = [status_of(state.object).get("stage") or {} for state in story.model.history.states]
        names = [stage["name"] for stage in stages if stage]
        assert list(dict.fromkeys(names)) == ["canary-10", "canary-20", "canary-100"]

    def test_never_gets_more_than_its_stage_declares(self, story: Story) -> None:
        rising = [window for window in story.model.windows() if 0 < window.weight < 100]
        shares = {window.weight: share(window, story.answers) for window in rising}
        assert list(shares) == [10, 20]
        assert all(found.is_within for found in shares.values()), shares

    def test_split_is_the_declared_one_over_5000_requests(self, story: Story) -> None:
        held = next(window for window in story.model.windows() if window.weight == 20)
        answers = Window(held.start + ROUTING_TAKES, held.end, held.weight).of(story.answers)[:5000]
        assert len(answers) == 5000
        candidate = sum(answer.version == "1.1.0" for answer in answers)
        assert candidate / 50 == pytest.approx(20, abs=2)
        assert all((answer.variant == "candidate") == (answer.version == "1.1.0") for answer in answers)


@pytest.mark.story(told_by=failing_version)
class TestFailingVersion:
    """1.2.0-failing raises on a part of the pictures."""

    def test_is_taken_back_at_its_first_stage(self, story: Story) -> None:
        record = story.model.status["lastRevert"]
        assert (record["reason"], record["stage"]) == ("SLOBreached", "canary-10")
        assert "SLO errors breached: " in record["message"]
        assert {window.weight for window in story.model.windows()} == {0, 10}

    def test_only_its_own_failures_reach_callers(self, story: Story) -> None:
        others = not_the_candidates_own(story.answers)
        assert failed(story.answers)
        assert not others, describe(others)

    def test_gets_no_more_than_its_stage_declares_and_nothing_afterwards(self, story: Story) -> None:
        (stage,) = (window for window in story.model.windows() if window.weight)
        found = share(stage, story.answers)
        assert found.is_within, found
        late = Window(stage.end + ROUTING_TAKES, float("inf"), 0).of(story.answers)
        assert late
        assert {answer.variant for answer in late} == {"stable"}


def crashing_version(serve: Serve) -> Story:
    """1.2.0-crashing cannot load its model."""
    with serve("crashing", strategy=steps(10, 50, 100, hold="5s"), slos=[ERRORS], replicas=1) as model:
        model.wait_serving("1.0.0")
        with model.load(rate=40, requests=20_000, seconds=240) as load:
            model.set(model={"version": "1.2.0-crashing"}, progressDeadline="15s")
            model.wait_reverted("1.2.0-crashing")
            return Story(model, load.stop())


@pytest.mark.story(told_by=crashing_version)
class TestCrashingVersion:
    def test_is_given_up_at_the_progress_deadline(self, story: Story) -> None:
        record = story.model.status["lastRevert"]
        assert record["reason"] == "ProgressDeadlineExceeded"
        assert not record.get("stage")

    def test_no_traffic_moves(self, story: Story) -> None:
        assert {window.weight for window in story.model.windows()} == {0}
        assert by_version(story.answers).keys() == {"1.0.0"}
        assert not failed(story.answers), describe(failed(story.answers))

"""The same without any gateway: a Service, whose connections spread over the ready pods of both versions."""

from collections.abc import Iterable
from dataclasses import dataclass

import httpx
import pytest

from e2e.telling import ERRORS, Story
from modelrollout.metrics import templates
from modelrollout.metrics.meters import Ratio
from stack import Serve
from stack.evidence import ROUTING_TAKES, Window, by_version, describe, failed, is_models_own, most_of
from stack.history import Object
from stack.served import NAME, Served, steps
from traffic_client import Answer

ROUTER: dict[str, object] = {"replicas": {}}
STEPS = steps(34, 50, 100, hold="5s")  # with two replicas: one pod of three, two of four, all
LATENCY = {"name": "latency", "metric": "latency", "slowerThan": "2500ms", "limit": "10%", "minSamples": 20}


def good_version(serve: Serve) -> Story:
    """1.1.0 after 1.0.0."""
    with serve("pods-good", traffic=ROUTER, strategy=STEPS, slos=[ERRORS, LATENCY]) as model:
        model.wait_serving("1.0.0")
        with model.load(rate=60, requests=20_000, seconds=240, through_gateway=False) as load:
            model.roll_out("1.1.0")
            for stage in ("canary-34", "canary-50", "canary-100"):
                model.wait_stage("1.1.0", stage)
            promoted = model.wait_serving("1.1.0").at
            model.wait_for_requests(load, 200, sent_after=promoted + ROUTING_TAKES)
            return Story(model, load.stop())


@pytest.mark.story(told_by=good_version)
class TestGoodVersion:
    def test_no_request_fails(self, story: Story) -> None:
        assert not failed(story.answers), describe(failed(story.answers))

    def test_never_gets_more_than_its_stage_declares(self, story: Story) -> None:
        stages = story.model.stages("1.1.0")
        assert [stage.weight for stage in stages] == [34, 50, 100]
        for stage in stages:
            sent = stage.of(story.answers)
            served = by_version(sent)["1.1.0"]
            assert 0 < served <= most_of(len(sent), stage.weight / 100), (stage, by_version(sent))

    def test_serves_everything_in_the_end(self, story: Story) -> None:
        assert by_version(story.answers).keys() == {"1.0.0", "1.1.0"}
        promoted = story.model.wait_serving("1.1.0").at + ROUTING_TAKES
        assert by_version(since(promoted, story.answers)).keys() == {"1.1.0"}


@dataclass
class TakenBack(Story):
    """A version that was taken back, and whom the Service selects since."""

    selector: Object


def failing_version(serve: Serve) -> TakenBack:
    """1.2.0-failing, judged by what its own pods count."""
    with serve("pods-failing", traffic=ROUTER, strategy=STEPS, slos=[ERRORS, LATENCY]) as model:
        model.wait_serving("1.0.0")
        with model.load(rate=60, requests=20_000, seconds=240, through_gateway=False) as load:
            model.roll_out("1.2.0-failing")
            taken_back = model.wait_taken_back("1.2.0-failing").at
            model.wait_for_requests(load, 100, sent_after=taken_back + ROUTING_TAKES)
            selector = model.bed.get("service", NAME, f"--namespace={model.namespace}")["spec"]["selector"]
            return TakenBack(model, load.stop(), selector)


@pytest.mark.story(told_by=failing_version)
class TestFailingVersion:
    def test_is_taken_back_at_its_first_stage(self, story: TakenBack) -> None:
        record = story.model.status["lastRevert"]
        assert (record["reason"], record["stage"]) == ("SLOBreached", "canary-34"), describe(failed(story.answers))
        assert story.selector["modelrollout.io/colour"] == story.model.status["stable"]["colour"]

    def test_gets_no_more_than_its_stage_declares_and_nothing_afterwards(self, story: Story) -> None:
        (stage,) = story.model.stages("1.2.0-failing")
        sent = stage.of(story.answers)
        # Those that failed are its own, as the next test shows.
        got = by_version(sent)["1.2.0-failing"] + len(failed(sent))
        assert 0 < got <= most_of(len(sent), stage.weight / 100), describe(sent)
        late = since(stage.end + ROUTING_TAKES, story.answers)
        assert by_version(late).keys() == {"1.0.0"}
        assert not failed(late), describe(failed(late))

    def test_only_its_own_failures_reach_callers(self, story: Story) -> None:
        others = [answer for answer in failed(story.answers) if not is_models_own(answer)]
        assert failed(story.answers)
        assert not others, describe(others)
        assert versions_that_failed(story.model) == {"1.2.0-failing"}


def since(moment: float, answers: Iterable[Answer]) -> list[Answer]:
    """Those to requests sent from then on."""
    return Window(moment, float("inf"), 0).of(answers)


def versions_that_failed(model: Served) -> set[str]:
    """Whose pods have counted failed requests: MLServer has no series of a status before its first answer with it."""
    (ratio,) = (meter for meter in templates.load("mlserver").meters if isinstance(meter, Ratio))
    (failures,) = ratio.failed
    answer = httpx.get(
        f"{model.bed.prometheus_url}/api/v1/series",
        params={"match[]": f'{failures.series}{{namespace="{model.namespace}"}}'},
        trust_env=False,
        timeout=10,
    )
    found: list[dict[str, str]] = answer.raise_for_status().json()["data"]
    return {labels["modelrollout_io_version"] for labels in found if failures.matches(labels)}

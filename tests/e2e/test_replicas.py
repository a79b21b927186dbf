"""The same without any gateway: a Service, whose connections spread over the ready pods of both versions."""

from collections.abc import Iterator

import pytest

from stack import Serve
from stack.evidence import by_version, describe, failed, is_models_own
from stack.served import NAME, Served, steps
from traffic_client import Answer

ROUTER: dict[str, object] = {"replicas": {}}
STEPS = steps(34, 50, 100, hold="5s")  # with two replicas: one pod of three, two of four, all
SLOS = [
    {"name": "errors", "metric": "error-ratio", "limit": "1%", "minSamples": 20},
    {"name": "latency", "metric": "latency", "slowerThan": "2500ms", "limit": "10%", "minSamples": 20},
]


class TestGoodVersion:
    """1.1.0 after 1.0.0."""

    @pytest.fixture(scope="class")
    @classmethod
    def answers(cls, serve: Serve) -> Iterator[list[Answer]]:
        with serve("pods-good", traffic=ROUTER, strategy=STEPS, slos=SLOS) as model:
            model.wait_serving("1.0.0")
            with model.load(rate=60, requests=20_000, seconds=240, through_gateway=False) as load:
                model.roll_out("1.1.0")
                for stage in ("canary-34", "canary-50", "canary-100"):
                    model.wait_stage("1.1.0", stage)
                model.wait_serving("1.1.0")
                model.wait_for_requests(load, 200)
                yield load.stop()

    def test_no_request_fails(self, answers: list[Answer]) -> None:
        assert not failed(answers), describe(failed(answers))

    def test_serves_everything_in_the_end(self, answers: list[Answer]) -> None:
        assert by_version(answers).keys() == {"1.0.0", "1.1.0"}
        assert by_version(answers[-100:]).keys() == {"1.1.0"}


class TestFailingVersion:
    """1.2.0-failing, judged by what its own pods count."""

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, serve: Serve) -> Iterator[Served]:
        with serve("pods-failing", traffic=ROUTER, strategy=STEPS, slos=SLOS) as model:
            model.wait_serving("1.0.0")
            yield model

    @pytest.fixture(scope="class")
    @classmethod
    def answers(cls, model: Served) -> list[Answer]:
        with model.load(rate=60, requests=20_000, seconds=240, through_gateway=False) as load:
            model.roll_out("1.2.0-failing")
            model.wait_reverted("1.2.0-failing")
            return load.stop()

    def test_is_taken_back_at_its_first_stage(self, model: Served, answers: list[Answer]) -> None:
        record = model.status["lastRevert"]
        assert (record["reason"], record["stage"]) == ("SLOBreached", "canary-34"), describe(failed(answers))
        assert by_version(answers[-100:]).keys() == {"1.0.0"}
        selector = model.bed.get("service", NAME, f"--namespace={model.namespace}")["spec"]["selector"]
        assert selector["modelrollout.io/colour"] == model.status["stable"]["colour"]

    def test_only_its_own_failures_reach_callers(self, answers: list[Answer]) -> None:
        others = [answer for answer in failed(answers) if not is_models_own(answer)]
        assert failed(answers)
        assert not others, describe(others)

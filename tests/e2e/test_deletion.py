"""A ModelRollout that is deleted while both of its versions have requests."""

import time
from dataclasses import dataclass

import pytest

from e2e.telling import ERRORS, in_stage
from stack import Serve
from stack.evidence import ROUTING_TAKES, by_version, describe, failed
from stack.served import NAME, steps
from traffic_client import Answer


@dataclass
class Story:
    """What was answered, and what was there a moment after the ModelRollout had gone."""

    answers: list[Answer]
    gone_at: float
    left: list[str]


def deleted_in_mid_stage(serve: Serve) -> Story:
    """Deleted with a fifth of the requests on the candidate."""
    served = serve("deleted", strategy=steps(20, 100, hold="5m"), slos=[ERRORS], replicas=1)
    with in_stage("canary-20", served) as (model, load):
        model.kubectl("delete", "modelrollout", NAME, "--timeout=60s")
        gone_at = time.time() + ROUTING_TAKES
        model.wait_for_requests(load, 100, sent_after=gone_at)
        left = model.kubectl("get", "deployments,httproutes,services", "--output=name").split()
        return Story(load.stop(), gone_at, left)


pytestmark = pytest.mark.story(told_by=deleted_in_mid_stage)


def test_no_request_fails(story: Story) -> None:
    assert not failed(story.answers), describe(failed(story.answers))


def test_stable_serves_everybody_from_then_on(story: Story) -> None:
    late = [answer for answer in story.answers if answer.sent_at > story.gone_at]
    assert by_version(late).keys() == {"1.0.0"}


def test_what_serves_is_left(story: Story) -> None:
    assert story.left == [
        "deployment.apps/digits-blue",
        "httproute.gateway.networking.k8s.io/digits",
        "service/digits",
        "service/digits-blue",
        "service/digits-green",
    ]

"""Pods as they are found for direct scrapes: listed by the labels of the attempt, and not watched."""

from typing import Any

from modelrollout.api.status import Colour
from modelrollout.controller.client import UnavailableError
from modelrollout.controller.informers import Informers
from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.controller.pods import ListedPods
from modelrollout.metrics.prometheus import Unavailable
from modelrollout.metrics.templates import Arm
from unit.controller.fake_cluster import FakeApi

ARM = Arm(namespace="ml", rollout="scorer", colour=Colour.GREEN, attempt=3)


def found_by(api: Any) -> tuple[ListedPods, Informers]:
    informers = Informers(api, namespaces=(), enqueue=lambda *_: None, metrics=OwnMetrics())
    return ListedPods(api, informers), informers


def pod(name: str, colour: str, attempt: int) -> dict[str, Any]:
    labels = {"name": "scorer", "colour": colour, "attempt": str(attempt)}
    metadata = {
        "namespace": "ml",
        "name": name,
        "labels": {f"modelrollout.io/{key}": value for key, value in labels.items()},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"phase": "Running"}}


def deployment(version: str, ready: int) -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "modelrollout", "modelrollout.io/name": "scorer"}
    metadata = {"namespace": "ml", "name": "scorer-green", "resourceVersion": version, "labels": labels}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "status": {"readyReplicas": ready}}


async def test_those_of_the_attempt_and_no_others() -> None:
    api = FakeApi()
    for one in (pod("a", "green", 3), pod("b", "green", 2), pod("c", "blue", 3)):
        await api.create(one)
    pods, _ = found_by(api)
    listed = await pods.of(ARM)
    assert not isinstance(listed, Unavailable)
    assert [one["metadata"]["name"] for one in listed] == ["a"]


def test_they_may_have_changed_when_the_deployment_tells_of_something_new() -> None:
    pods, informers = found_by(FakeApi())
    states = [pods.state(ARM)]
    for seen in (deployment("7", 1), deployment("8", 2)):
        informers.learn(seen)
        states.append(pods.state(ARM))
        assert pods.state(ARM) == states[-1]
    assert len(set(states)) == 3


async def test_an_api_server_that_does_not_answer_is_no_list() -> None:
    class Down(FakeApi):
        def pages(self, *_: Any, **__: Any) -> Any:
            raise UnavailableError("list /api/v1/pods: 503")

    pods, _ = found_by(Down())
    assert await pods.of(ARM) == Unavailable("the pods cannot be listed: list /api/v1/pods: 503")

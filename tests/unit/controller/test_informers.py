from collections.abc import AsyncIterator
from typing import Any

import pytest

from modelrollout.controller.client import NotFoundError, Page, RefusedError, UnavailableError
from modelrollout.controller.informers import Informers
from modelrollout.controller.kinds import (
    DEPLOYMENTS,
    GATEWAY_CLASSES,
    GATEWAYS,
    HTTP_ROUTES,
    MODEL_ROLLOUTS,
    PODS,
    SERVICES,
    Key,
    Kind,
)
from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.controller.queue import Priority
from unit.controller.fake_cluster import GATEWAY_ROUTER, KEY, FakeApi, gateway_objects, rollout

LABELS = {"app.kubernetes.io/managed-by": "modelrollout", "modelrollout.io/name": "scorer"}


class Listener:
    """What was enqueued, and with which priority."""

    def __init__(self) -> None:
        self.heard: list[tuple[Key, Priority]] = []

    def __call__(self, key: Key, priority: Priority) -> None:
        self.heard.append((key, priority))

    def take(self) -> list[tuple[Key, Priority]]:
        heard, self.heard = self.heard, []
        return heard


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def enqueued() -> Listener:
    return Listener()


def make(api: Any, enqueued: Listener, *namespaces: str) -> Informers:
    return Informers(api, namespaces=namespaces, enqueue=enqueued, metrics=OwnMetrics())


@pytest.fixture
def informers(api: FakeApi, enqueued: Listener) -> Informers:
    return make(api, enqueued)


def child(kind: Kind, version: int, name: str = "scorer", **content: Any) -> dict[str, Any]:
    metadata = {"namespace": "ml", "name": name, "labels": LABELS, "resourceVersion": str(version)}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **content}


def written(version: int, **spec: Any) -> dict[str, Any]:
    manifest = rollout(**spec)
    return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(version), "uid": "u"}}


def test_a_change_of_a_child_concerns_the_rollout_that_its_label_names(
    informers: Informers, enqueued: Listener
) -> None:
    informers.on_event(DEPLOYMENTS, "ADDED", child(DEPLOYMENTS, 1, name="scorer-blue"))
    assert enqueued.take() == [(KEY, Priority.CHANGE)]
    informers.on_event(DEPLOYMENTS, "MODIFIED", child(DEPLOYMENTS, 1, name="scorer-blue"))
    assert enqueued.take() == [], "it was known already"
    informers.on_event(DEPLOYMENTS, "DELETED", child(DEPLOYMENTS, 2, name="scorer-blue"))
    assert enqueued.take() == [(KEY, Priority.CHANGE)]


def waiting_pod(version: int, *, reason: str, message: str = "") -> dict[str, Any]:
    said = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    status = {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}, said], "qosClass": "Burstable"}
    return child(PODS, version, name="scorer-green-x", spec={"containers": [{"name": "server"}]}, status=status)


def test_of_pods_only_what_the_scheduler_says_of_those_without_a_node_is_kept(
    informers: Informers, enqueued: Listener
) -> None:
    informers.on_event(PODS, "ADDED", waiting_pod(1, reason=""))
    assert enqueued.take() == [], "nobody has looked for a node yet"
    informers.on_event(PODS, "MODIFIED", waiting_pod(2, reason="Unschedulable", message="no GPU"))
    assert enqueued.take() == [(KEY, Priority.CHANGE)]
    (kept,) = informers.unschedulable(KEY)
    assert set(kept) == {"kind", "metadata", "status"}
    assert [one["message"] for one in kept["status"]["conditions"]] == ["no GPU"]
    informers.on_event(PODS, "DELETED", waiting_pod(3, reason="Unschedulable", message="no GPU"))
    assert enqueued.take() == [(KEY, Priority.CHANGE)], "it has left the selector: it has a node, or is gone"
    assert not [*informers.unschedulable(KEY)]


def test_what_a_watch_lists_at_its_beginning_can_wait(informers: Informers, enqueued: Listener) -> None:
    informers.on_event(MODEL_ROLLOUTS, None, written(1))
    assert enqueued.take() == [(KEY, Priority.SWEEP)]


def test_a_gateway_concerns_the_rollouts_that_name_it_and_a_class_all_on_gateways(
    informers: Informers, enqueued: Listener
) -> None:
    gateway, gateway_class = gateway_objects()
    gateway["metadata"]["resourceVersion"] = gateway_class["metadata"]["resourceVersion"] = "1"
    other = written(2, traffic={"gatewayAPI": {"parentRefs": [{"name": "private"}]}})
    other["metadata"]["name"] = "other"
    informers.on_event(MODEL_ROLLOUTS, "ADDED", written(1, traffic=GATEWAY_ROUTER))
    informers.on_event(MODEL_ROLLOUTS, "ADDED", other)
    enqueued.take()
    informers.on_event(GATEWAYS, "ADDED", gateway)
    assert enqueued.take() == [(KEY, Priority.CHANGE)]
    informers.on_event(GATEWAY_CLASSES, "ADDED", gateway_class)
    assert enqueued.take() == [(KEY, Priority.CHANGE), (Key("ml", "other"), Priority.CHANGE)]
    informers.on_event(MODEL_ROLLOUTS, "MODIFIED", written(3))
    enqueued.take()
    gateway["metadata"]["resourceVersion"], gateway["spec"] = "4", {}
    informers.on_event(GATEWAYS, "MODIFIED", gateway)
    assert enqueued.take() == [], "the rollout has changed its router"


def test_our_own_writes_are_seen_at_once_and_call_for_nobody(informers: Informers, enqueued: Listener) -> None:
    informers.learn(child(SERVICES, 5, spec={"ports": []}))
    assert informers.get("Service", "ml", "scorer") == child(SERVICES, 5, spec={"ports": []})
    informers.on_event(SERVICES, "MODIFIED", child(SERVICES, 4, spec={}))
    informers.on_event(SERVICES, "MODIFIED", child(SERVICES, 5, spec={"ports": []}))
    assert enqueued.take() == []


def test_an_object_of_somebody_else_is_not_learnt(informers: Informers) -> None:
    foreign = child(SERVICES, 5)
    foreign["metadata"]["labels"] = {}
    informers.learn(foreign)
    assert informers.get("Service", "ml", "scorer") is None


async def test_lists_find_what_watches_have_lost(api: FakeApi, informers: Informers, enqueued: Listener) -> None:
    api.put(rollout())
    await informers.list_all()
    assert enqueued.take() == [(KEY, Priority.SWEEP)]
    api.put(child(DEPLOYMENTS, 1, name="scorer-blue", spec={"replicas": 1}))
    api.remove(MODEL_ROLLOUTS, KEY)
    await informers.list_all()
    assert enqueued.take() == [(KEY, Priority.SWEEP), (KEY, Priority.SWEEP)]
    assert informers.rollouts.get(KEY) is None
    assert informers.get("Deployment", "ml", "scorer-blue") is not None


async def test_a_fresh_look_finds_out_that_an_object_is_gone(
    api: FakeApi, informers: Informers, enqueued: Listener
) -> None:
    api.put(rollout())
    await informers.list_all()
    enqueued.take()
    api.remove(MODEL_ROLLOUTS, KEY)
    await informers.refresh(MODEL_ROLLOUTS, KEY)
    assert informers.rollouts.get(KEY) is None
    assert enqueued.take() == [(KEY, Priority.CHANGE)]


class Restricted(FakeApi):
    """Kinds that cannot be listed, and why."""

    def __init__(self, **errors: list[Exception]) -> None:
        super().__init__()
        self.errors = errors

    async def pages(
        self, kind: Kind, *, namespace: str = "", selector: str = "", fields: str = ""
    ) -> AsyncIterator[Page]:
        if self.errors.get(kind.kind):
            raise self.errors[kind.kind].pop(0)
        async for page in super().pages(kind, namespace=namespace, selector=selector, fields=fields):
            yield page


async def test_kinds_that_are_not_installed_or_not_allowed_are_known_as_not_watched(enqueued: Listener) -> None:
    api = Restricted(HTTPRoute=[NotFoundError("no such kind")], Gateway=[RefusedError("forbidden")])
    informers = make(api, enqueued)
    await informers.list_all()
    assert not informers.watches("HTTPRoute", "ml")
    assert not informers.watches("Gateway", "ml")
    assert informers.watches("Service", "ml")
    informers.on_event(HTTP_ROUTES, "ADDED", child(HTTP_ROUTES, 1))
    assert informers.watches("HTTPRoute", "ml"), "it was installed meanwhile"


async def test_one_refused_list_does_not_unlearn_a_kind_and_a_404_does(enqueued: Listener) -> None:
    api = Restricted()
    informers = make(api, enqueued)
    await informers.list_all()
    api.errors = {"HTTPRoute": [RefusedError("forbidden: the role is being replaced")]}
    await informers.list_all()
    assert informers.watches("HTTPRoute", "ml")
    api.errors = {"HTTPRoute": [NotFoundError("no such kind")]}
    await informers.list_all()
    assert not informers.watches("HTTPRoute", "ml")


async def test_a_kind_that_is_installed_later_is_noticed_by_a_list(enqueued: Listener) -> None:
    api = Restricted(HTTPRoute=[NotFoundError("no such kind")])
    api.put(rollout(traffic=GATEWAY_ROUTER))
    informers = make(api, enqueued)
    await informers.list_all()
    enqueued.take()
    await informers.list_all()
    assert enqueued.take() == [(KEY, Priority.SWEEP)]
    assert informers.watches("HTTPRoute", "ml")
    await informers.list_all()
    assert enqueued.take() == []


def test_the_answer_to_an_old_write_does_not_bring_its_gateways_back(informers: Informers, enqueued: Listener) -> None:
    informers.on_event(MODEL_ROLLOUTS, "MODIFIED", written(5))
    informers.learn(written(4, traffic=GATEWAY_ROUTER))
    enqueued.take()
    gateway = gateway_objects()[0]
    gateway["metadata"]["resourceVersion"] = "6"
    informers.on_event(GATEWAYS, "ADDED", gateway)
    assert enqueued.take() == []


async def test_lists_are_tried_until_they_succeed(enqueued: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelrollout.controller.informers._LONGEST_WAIT", 0)
    api = Restricted(
        ModelRollout=[NotFoundError("the CRD is not installed"), RefusedError("forbidden")],
        Deployment=[UnavailableError("503")],
    )
    api.put(rollout())
    await make(api, enqueued).list_all()
    assert enqueued.take() == [(KEY, Priority.SWEEP)]
    assert api.errors == {"ModelRollout": [], "Deployment": []}


async def test_only_what_lies_in_its_namespaces_is_looked_at(api: FakeApi, enqueued: Listener) -> None:
    api.put(rollout())
    elsewhere = rollout()
    elsewhere["metadata"]["namespace"] = "elsewhere"
    api.put(elsewhere)
    informers = make(api, enqueued, "ml")
    await informers.list_all()
    assert len(informers.rollouts) == 1
    assert informers.rollouts.get(KEY)
    assert GATEWAY_CLASSES not in informers.kinds, "a role for a namespace cannot allow it"
    assert not informers.watches("GatewayClass", "")
    assert informers.watches("Gateway", "ml")
    assert not informers.watches("Gateway", "infra")

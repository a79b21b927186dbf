"""A story is told of one ModelRollout: what people and the world do to it, and what they see."""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import groupby
from types import TracebackType
from typing import Any, Self

from kubernetes.client import ApiClient, CoreV1Api

import testbed
from modelrollout.traffic.gateway_api import WHOLE
from stack.exporter import Exporter
from stack.history import History, NotReachedError, Object, State
from stack.operator_process import eventually
from stack.rollout import Rollout
from testbed.control_plane import STAYS_PENDING

GATEWAYS = "gateways"
PATIENCE = 90.0
"""Seconds for something that takes a few when nothing else is told."""

ERRORS = {"name": "errors", "metric": "error-ratio", "limit": "10%", "test": "Plain", "consecutiveBreaches": 1}
GATEWAY = {"gatewayAPI": {"parentRefs": [{"name": "public", "namespace": GATEWAYS}]}}
REPLICAS: dict[str, Any] = {"replicas": {}}

Condition = Mapping[str, str]


def template(*, label: str = "", **of_container: Any) -> Object:
    """A pod template with another label than usual, or other fields of its container."""
    container = {"name": "server", "image": "scorer", **of_container}
    labels = {"metadata": {"labels": {label: "x"}}} if label else {}
    return labels | {"spec": {"containers": [container]}}


READY = template()
"""Pods that are ready at once."""

NEVER_READY = template(label=STAYS_PENDING)
"""Pods that stay pending until somebody says that they are ready."""


def canary(*weights: int, hold: str = "1s", **of_each: Any) -> Object:
    """A strategy with these weights, whose stages have these fields."""
    return {"canary": {"steps": [{"weight": weight, "hold": hold, **of_each} for weight in weights]}}


_MODEL_ROLLOUTS: dict[str, Any] = {"group": "modelrollout.io", "version": "v1alpha1", "plural": "modelrollouts"}
_ACTIONS = _MODEL_ROLLOUTS | {"plural": "rolloutactions"}
_GROUPS = {
    "deployments": "apps",
    "events": "events.k8s.io",
    "httproutes": "gateway.networking.k8s.io",
    "poddisruptionbudgets": "policy",
}
_MERGE: dict[str, Any] = {"_content_type": "application/merge-patch+json"}
ENDLESS = {"canary": {"steps": [{"weight": 50, "hold": "1h"}, {"weight": 100, "hold": "1s"}]}}
"""The first stage lasts longer than any story."""


class Story(Rollout):
    """The ModelRollout `scorer` in a namespace of its own, everything that is heard of it, and what its pods answer.

    What is waited for may have come and gone since the last wait: nothing is missed. What was before that, and what
    does not know of the last change of the spec, is not taken for it.
    """

    def __init__(self, bed: testbed.Bed, client: ApiClient, exporter: Exporter, namespace: str) -> None:
        super().__init__(
            bed,
            client,
            namespace,
            replicas=2,
            server="mlserver",
            traffic=GATEWAY,
            strategy=canary(20, 100),
            slos=[ERRORS],
        )
        self.client, self.pods = client, CoreV1Api(client)
        self._exporter = exporter
        self._bad: set[str] = set()
        self._silent: set[str] = set()
        self._speaking: set[int] = set()
        self._generation = 0
        self._reached: State | None = None
        self._contexts = ExitStack()
        self._history = self._watch("modelrollout.io", "v1alpha1", "modelrollouts", self.name, tell=self._hear)

    def __enter__(self) -> Self:
        self._contexts.enter_context(self._history)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        """Stop listening."""
        self._contexts.close()

    # what people do

    def apply(self, version: str, **spec: Any) -> None:
        """Ask for a version; what is waited for from now on is an answer to this."""
        super().apply(version, **spec)
        rollout: Any = self._api.get_namespaced_custom_object(
            **_MODEL_ROLLOUTS, namespace=self.namespace, name=self.name
        )
        self._generation = rollout["metadata"]["generation"]

    def begin(self, version: str = "1.0.0", **spec: Any) -> Object:
        """A first version serves; returns what the status says of it."""
        self.apply(version, **spec)
        stable: Object = self.serves(version)["stable"]
        return stable

    def patch(self, changes: Object) -> None:
        """Change the ModelRollout as `kubectl patch` does."""
        patch: Any = self._api.patch_namespaced_custom_object
        patched = patch(**_MODEL_ROLLOUTS, namespace=self.namespace, name=self.name, body=changes, **_MERGE)
        self._generation = patched["metadata"]["generation"]

    def lose_status(self) -> None:
        """The status is gone, as after the restore of a backup."""
        patch: Any = self._api.patch_namespaced_custom_object_status
        where = {**_MODEL_ROLLOUTS, "namespace": self.namespace, "name": self.name}
        lost = patch(**where, body={"status": None}, **_MERGE)
        revision = _revision(lost)
        self._reached = self._history.wait(
            lambda rollout: rollout is not None and _revision(rollout) >= revision, what="the loss", timeout=PATIENCE
        )

    def asks(self, action: str, *, by: str = "admin", attempt: int | None = None, **fields: Any) -> Object:
        """Ask for an action, of the newest attempt, and wait until it was heard; returns the record of it."""
        of = self.status()["attempt"] if attempt is None else attempt
        create: Any = self._api.create_namespaced_custom_object
        asked = create(
            **_ACTIONS,
            namespace=self.namespace,
            body={
                "apiVersion": "modelrollout.io/v1alpha1",
                "kind": "RolloutAction",
                "metadata": {"generateName": f"{action.lower()}-"},
                "spec": {"rollout": self.name, "attempt": of, "action": action, "by": by, **fields},
            },
        )
        status = self.wait_for(lambda status: _record_of(asked, status), f"{action} to be heard")
        record: Object = _record_of(asked, status) or {}
        get: Any = self._api.get_namespaced_custom_object
        name = asked["metadata"]["name"]
        self.eventually(
            lambda: (
                get(**_ACTIONS, namespace=self.namespace, name=name).get("status", {}).get("outcome")
                == record["outcome"]
            ),
            f"the answer to {name}",
        )
        return record

    def delete(self) -> None:
        """Delete the ModelRollout, and wait until it is gone."""
        self.kubectl("delete", "mr", self.name, "--timeout=60s")
        self._generation = 0

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What somebody at a terminal does in the namespace."""
        return self.bed.kubectl("-n", self.namespace, *arguments, stdin=stdin)

    def create(self, manifest: Object) -> None:
        """Somebody else makes something in the namespace."""
        self.kubectl("create", "-f", "-", stdin=json.dumps(manifest))

    # what the versions are like

    def is_bad(self, *versions: str) -> None:
        """Nearly every answer of these versions will be an error."""
        self._bad |= {*versions}

    def is_good_again(self, version: str) -> None:
        """What made every answer of a version an error is gone at its next attempt."""
        self._bad.discard(version)

    def is_silent(self, *versions: str) -> None:
        """Prometheus will never hear of these versions."""
        self._silent |= {*versions}

    def speaks(self, part: Object) -> None:
        """Prometheus hears of a version from now on."""
        self._exporter.begin(self.namespace, self.name, part)

    def turns_bad(self, part: Object) -> None:
        """A version that was good answers with errors from now on."""
        self._exporter.fail(self.namespace, f"{self.name}-{part['colour']}")

    def recovers(self, part: Object) -> None:
        """A version that was bad answers well from now on."""
        self._exporter.recover(self.namespace, f"{self.name}-{part['colour']}")

    def falls_silent(self, part: Object) -> None:
        """Prometheus hears no more of a version."""
        self._exporter.fall_silent(self.namespace, f"{self.name}-{part['colour']}")

    def pods_are(self, part: Object, ready: str, *, at_most: int | None = None) -> None:
        """The pods of a version answer ("True") or not ("False"), as a kubelet would say it."""
        for pod in self.pods_of(part)[:at_most]:
            conditions = [{"type": "Ready", "status": ready}]
            body = {"status": {"conditions": conditions}}
            self.pods.patch_namespaced_pod_status(pod.metadata.name, self.namespace, body)

    def a_container_ends(
        self,
        part: Object,
        reason: str,
        code: int,
        *,
        restarts: int = 1,
        is_looping: bool = False,
        was_ready: bool = True,
    ) -> str:
        """The container of one pod of a version has ended, as a kubelet would say it; returns the name of the pod.

        It runs again, or waits for that. Its pod is not ready any more, or never was.
        """
        name: str = min(pod.metadata.name for pod in self.pods_of(part))
        # kubelets tell times in whole seconds; this one is not to be before what has just happened
        now = (datetime.now(UTC) + timedelta(seconds=1)).isoformat(timespec="seconds")
        waits = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}}
        ended = {"reason": reason, "exitCode": code, "startedAt": now, "finishedAt": now}
        container = {
            "name": "server",
            "image": "scorer",
            "imageID": "",
            "ready": False,
            "restartCount": restarts,
            "state": waits if is_looping else {"running": {"startedAt": now}},
            "lastState": {"terminated": ended},
        }
        unready = {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": now}]}
        body = {"status": {"containerStatuses": [container]} | (unready if was_ready else {})}
        self.pods.patch_namespaced_pod_status(name, self.namespace, body)
        return name

    def pods_are_deleted(self, part: Object) -> None:
        """Somebody deletes all pods of a version."""
        self.pods.delete_collection_namespaced_pod(
            self.namespace, label_selector=_selector_of(part), grace_period_seconds=0
        )

    # what they see

    def wait_for(self, reached: Callable[[Object], Any], what: str, *, seconds: float = PATIENCE) -> Object:
        """The first status that is as wanted, from the last one that was waited for on."""

        def is_it(rollout: Object | None) -> bool:
            status = self._answer_in(rollout)
            return status is not None and bool(reached(status))

        try:
            self._reached = self._history.wait(is_it, what=what, timeout=seconds, since=self._reached)
        except NotReachedError as error:
            told = "\n".join([f"events: {', '.join(self.events())}", json.dumps(self.status())])
            raise NotReachedError(f"{error}\n{told}") from None
        status: Object = (self._reached.object or {})["status"]
        return status

    def enters(self, stage: str) -> Object:
        """Wait until the requests of a stage have arrived."""
        return self.wait_for(
            lambda status: status.get("stage", {}).get("name") == stage and "reachedAt" in status["stage"],
            f"stage {stage}",
        )

    def is_taken_back(self, version: str, reason: str, *, seconds: float = PATIENCE) -> Object:
        """Wait until a version has been taken back for a reason and its pods have drained; returns the record."""
        status = self.wait_for(
            lambda status: (
                status["phase"] in ("Reverted", "Idle")
                and (status.get("lastRevert", {}).get("version"), status.get("lastRevert", {}).get("reason"))
                == (version, reason)
            ),
            f"version {version} to be taken back for {reason}",
            seconds=seconds,
        )
        record: Object = status["lastRevert"]
        return record

    def says(self, condition: str, reason: str, *, status: str | None = None) -> Object:
        """Wait until a condition has a reason (and a status)."""
        return self.wait_for(
            lambda seen: (
                (found := condition_of(seen, condition)).get("reason") == reason and status in (None, found["status"])
            ),
            f"condition {condition} to be {reason}",
        )

    def eventually(self, look: Callable[[], Any], what: str) -> None:
        """Wait for something that no status tells."""
        eventually(look, what, seconds=PATIENCE)

    def route_leads_to(self, part: Object) -> None:
        """Wait until the route gives a version everything, and shows that it is stable."""

        def look() -> bool:
            shown = [one["metadata"]["labels"]["modelrollout.io/attempt"] for one in self.all("httproutes")]
            return shown == [str(part["attempt"])] and self.weights()[part["colour"]] == 100

        self.eventually(look, f"the route to lead to {part['version']}")

    def all(self, plural: str) -> list[Object]:
        """All objects of a kind in the namespace."""
        if plural == "services":
            found: Any = self.client.sanitize_for_serialization(self.pods.list_namespaced_service(self.namespace))
        else:
            found = self._api.list_namespaced_custom_object(_GROUPS[plural], "v1", self.namespace, plural)
        objects: list[Object] = found["items"]
        return objects

    def pods_of(self, part: Object) -> list[Any]:
        """The pods of a version."""
        pods: list[Any] = self.pods.list_namespaced_pod(self.namespace, label_selector=_selector_of(part)).items
        return pods

    def uids(self, part: Object) -> set[str]:
        """Which pods a version has."""
        return {pod.metadata.uid for pod in self.pods_of(part)}

    def tells(self, *reasons: str) -> None:
        """Wait for these events, in this order, to be all that there are."""
        try:
            self.eventually(lambda: self.events() == [*reasons], ", ".join(reasons))
        except NotReachedError as error:
            raise NotReachedError(f"{error}\nbut the events are {', '.join(self.events())}") from None

    def events(self) -> list[str]:
        """The reasons of its events, in their order."""
        ours = [one for one in self.all("events") if one["regarding"]["kind"] == "ModelRollout"]
        return [one["reason"] for one in sorted(ours, key=lambda one: str(one["eventTime"]))]

    def phases(self) -> list[tuple[str, str, str | None]]:
        """Phase, version and stage from state to state, each once in a row."""
        statuses = [
            state.object["status"] for state in self._history.states if state.object and "status" in state.object
        ]
        each = [
            (status["phase"], status.get("version", ""), status.get("stage", {}).get("name"))
            for status in statuses
            if "phase" in status
        ]
        return [at for at, _ in groupby(each)]

    def deployment(self, part: Object) -> Object:
        """The Deployment of a version."""
        name = f"{self.name}-{part['colour']}"
        return next(one for one in self.all("deployments") if one["metadata"]["name"] == name)

    def weights(self) -> dict[str, int]:
        """Per cent that each colour gets, rounded: a millionth is nothing; empty as long as there is no HTTPRoute."""
        routes = self.all("httproutes")
        return weights_in(routes[0]) if routes else {}

    def led_by_header(self, cohort: Mapping[str, str]) -> set[str]:
        """The Services that the HTTPRoute leads requests with a header to; empty when it looks at no such header."""
        return {
            backend["name"]
            for route in self.all("httproutes")
            for rule in route["spec"]["rules"]
            if any(_names(match, cohort) for match in rule["matches"])
            for backend in rule["backendRefs"]
        }

    def selects(self) -> str | None:
        """The colour that the Service selects; "both" for both, None as long as there is no Service."""
        for service in self.all("services"):
            if service["metadata"]["name"] == self.name:
                colour: str = service["spec"]["selector"].get("modelrollout.io/colour", "both")
                return colour
        return None

    def watch_routes(self) -> "Routes":
        """All states of the HTTPRoute, from now on."""
        return Routes(self._history, self._followed("httproutes", self.name))

    def watch_pods_of(self, part: Object) -> "Pods":
        """How many ready pods the Deployment of a version has, from now on."""
        return self._pods_in(part["colour"])

    def watch_pods_of_next(self, part: Object) -> "Pods":
        """The same of the version that will come after this one."""
        return self._pods_in("green" if part["colour"] == "blue" else "blue")

    def watch_ready(self) -> "Ready":
        """How many ready pods there are of both versions together, from now on."""
        return Ready([self._followed("deployments", f"{self.name}-{colour}") for colour in ("blue", "green")])

    def _pods_in(self, colour: str) -> "Pods":
        return Pods(self._followed("deployments", f"{self.name}-{colour}"))

    def _followed(self, plural: str, name: str) -> History:
        """All states of an object from the present one on, until the end of the story."""
        history = self._contexts.enter_context(self._watch(_GROUPS[plural], "v1", plural, name))
        history.wait(lambda _: True, what=f"the first look at {plural}/{name}", timeout=PATIENCE)
        return history

    def _watch(self, group: str, version: str, plural: str, name: str, **options: Any) -> History:
        where: dict[str, Any] = {"group": group, "version": version, "plural": plural, "namespace": self.namespace}
        return History(self.client, **where, name=name, **options)

    def _answer_in(self, rollout: Object | None) -> Object | None:
        """The status, if it is one that knows of the last change of the spec."""
        status: Object = (rollout or {}).get("status", {})
        return status if status.get("phase") and status["observedGeneration"] >= self._generation else None

    def _hear(self, rollout: Object | None) -> None:
        """Versions answer from the moment at which the status names them."""
        status = (rollout or {}).get("status", {})
        for part in filter(None, (status.get("stable"), status.get("candidate"))):
            if part["attempt"] not in self._speaking and part["version"] not in self._silent:
                self._speaking.add(part["attempt"])
                self.speaks(part)
                if part["version"] in self._bad:
                    self.turns_bad(part)


class Routes:
    """What the HTTPRoute gave to whom, from state to state."""

    def __init__(self, rollout: History, route: History) -> None:
        self._rollout, self._route = rollout, route

    def never_gave_more_than_declared(self) -> None:
        """No candidate ever had more than its stage declares; the API server counts writes of all kinds in one row."""
        for route in _objects(self._route):
            told = [one for one in _objects(self._rollout) if _revision(one) <= _revision(route) and "status" in one]
            status = told[-1]["status"]
            assert sum(_backends(route).values()) == WHOLE
            if "stable" in status:
                given = {colour: share for colour, share in weights_in(route).items() if share}
                given.pop(status["stable"]["colour"], None)
                assert sum(given.values()) <= status["weights"]["declared"], (given, status)

    def given(self) -> list[dict[str, int]]:
        """The weights, each once in a row."""
        return [weights for weights, _ in groupby(weights_in(route) for route in _objects(self._route))]

    def writes(self) -> int:
        """How often the spec was changed."""
        return len({route["metadata"]["generation"] for route in _objects(self._route)}) - 1


class Pods:
    """How many pods a version had, from state to state."""

    def __init__(self, deployment: History) -> None:
        self._deployment = deployment

    def least(self) -> int:
        """The fewest that were ready at any time."""
        return min(int(one["status"].get("readyReplicas", 0)) for one in _objects(self._deployment))

    def sizes(self) -> list[int]:
        """How many were wanted, each once in a row."""
        return [size for size, _ in groupby(one["spec"]["replicas"] for one in _objects(self._deployment))]


class Ready:
    """How many ready pods two Deployments had together; the API server counts their writes in one row."""

    def __init__(self, deployments: list[History]) -> None:
        self._deployments = deployments

    def fewest(self) -> int:
        """The fewest at any time from which on both are known."""
        states = [one for deployment in self._deployments for one in _objects(deployment)]
        ready: dict[str, int] = {}
        sums = []
        for one in sorted(states, key=_revision):
            ready[one["metadata"]["name"]] = one.get("status", {}).get("readyReplicas", 0)
            sums.append(sum(ready.values()))
        return min(sums)


def condition_of(status: Object, kind: str) -> Condition:
    """A condition of a status; empty when it is not there."""
    return next((one for one in status.get("conditions", []) if one["type"] == kind), {})


def _record_of(asked: Object, status: Object) -> Object | None:
    """What a status says of a RolloutAction."""
    return next((one for one in status.get("actions", []) if one["uid"] == asked["metadata"]["uid"]), None)


def _names(match: Object, cohort: Mapping[str, str]) -> bool:
    wanted = (cohort["header"], cohort["value"])
    return any((header["name"], header["value"]) == wanted for header in match.get("headers", []))


def _selector_of(part: Object) -> str:
    return f"modelrollout.io/colour={part['colour']},modelrollout.io/attempt={part['attempt']}"


def weights_in(route: Object) -> dict[str, int]:
    """Per cent that each colour gets of an HTTPRoute."""
    return {name.rpartition("-")[2]: round(100 * weight / WHOLE) for name, weight in _backends(route).items()}


def _backends(route: Object) -> dict[str, int]:
    return {one["name"]: one["weight"] for one in route["spec"]["rules"][0]["backendRefs"]}


def _objects(history: History) -> list[Object]:
    return [state.object for state in history.states if state.object]


def _revision(one: Object) -> int:
    return int(one["metadata"]["resourceVersion"])

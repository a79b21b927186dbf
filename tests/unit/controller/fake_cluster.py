"""An API server in memory that can fail at any request, and an operator's core on it whose clock the test turns.

Only what the operator relies on is modelled: resourceVersions, fences, server-side apply by one manager, and the
controllers that make pods ready and accept routes.
"""

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from modelrollout.api.evidence import SloEvidence
from modelrollout.api.labels import MANAGED_BY
from modelrollout.api.objects import Live, Manifest
from modelrollout.api.owner import Rollout
from modelrollout.api.status import ModelRolloutStatus
from modelrollout.controller.alerts import AlertBoard
from modelrollout.controller.apply import Applier
from modelrollout.controller.background import Background
from modelrollout.controller.client import ConflictError, NotFoundError, Page
from modelrollout.controller.crashes import Crashes
from modelrollout.controller.events import EventRecorder
from modelrollout.controller.informers import Informers
from modelrollout.controller.kinds import (
    COPIED,
    DEPLOYMENTS,
    EVENTS,
    GATEWAY_CLASSES,
    GATEWAYS,
    MODEL_ROLLOUTS,
    Key,
    Kind,
    key_of,
    kind_of,
)
from modelrollout.controller.observe import Observer
from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.controller.queue import Backoff, Priority, Schedule, WorkQueue
from modelrollout.controller.readings import ReadingsBoard
from modelrollout.controller.reconcile import Reconciler
from modelrollout.controller.references import References
from modelrollout.controller.refusals import Refusals
from modelrollout.controller.reporting import Reports
from modelrollout.engine.decide import decide
from modelrollout.engine.effects import Watch
from modelrollout.engine.snapshot import Obstacle

START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = Key("ml", "scorer")


class Crash(BaseException):
    """The process dies here."""


class FakeApi:
    """`KubeApi` in memory. `trouble` is called with the number of every write, before and after it is carried out."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, Key], dict[str, Any]] = {}
        self.changes: list[tuple[Kind, str, dict[str, Any]]] = []
        """Everything that a watch would have told so far."""
        self.events: list[Live] = []
        self.writes: list[str] = []
        self.conflicts: list[str] = []
        """Writes that were made on an old view."""
        self.trouble: Callable[[int, str], None] = lambda _number, _when: None
        self._versions = itertools.count(100)

    # --- as the operator uses it

    async def get(self, kind: Kind, key: Key) -> Live:
        return copy.deepcopy(self._stored(kind, key))

    async def pages(
        self, kind: Kind, *, namespace: str = "", selector: str = "", fields: str = ""
    ) -> AsyncIterator[Page]:
        items = [
            copy.deepcopy(one)
            for (name, key), one in self.objects.items()
            if name == kind.kind
            and namespace in ("", key.namespace)
            and _is_selected(selector, one)
            and _has_fields(fields, one)
        ]
        yield Page(cast("list[Live]", items), str(next(self._versions)))

    def metadata_pages(self, kind: Kind, *, namespace: str = "", selector: str = "") -> AsyncIterator[Page]:
        return self.pages(kind, namespace=namespace, selector=selector)

    async def watch_metadata(self, kind: Kind, **_: Any) -> AsyncIterator[tuple[str, Live]]:
        """Silent: `Operator.hear` tells what a watch would."""
        await asyncio.Event().wait()
        yield "BOOKMARK", {"kind": kind.kind}

    async def apply(self, manifest: Manifest, *, force: bool) -> Live:
        kind, key = kind_of(manifest), key_of(manifest)
        stored = self.objects.get((kind.kind, key))
        self._before("apply", kind, key)
        if stored is None:
            # as tests/cluster/test_rendering.py shows it: a resourceVersion alone does not keep it from being made
            if "uid" in manifest["metadata"]:
                self.conflicts.append(self.writes[-1])
                raise ConflictError(f"uid mismatch: {kind} {key} is gone")
            return self._store(kind, key, {**copy.deepcopy(manifest)})
        self._check_fence(stored, manifest)
        if not force and stored["metadata"].get("labels", {}).get(MANAGED_BY) is None:
            raise ConflictError("Apply failed with 1 conflict: .spec.selector")
        changed = {**copy.deepcopy(stored), **copy.deepcopy(manifest)}
        changed["metadata"] = {**stored["metadata"], **manifest["metadata"]}
        return self._store(kind, key, changed)

    async def patch(self, kind: Kind, key: Key, changes: Mapping[str, Any]) -> Live:
        stored = self._stored(kind, key)
        self._before("patch", kind, key)
        self._check_fence(stored, changes)
        return self._store(kind, key, _merged(stored, changes))

    async def replace_status(self, manifest: Manifest) -> Live:
        kind, key = kind_of(manifest), key_of(manifest)
        stored = self._stored(kind, key)
        self._before("status", kind, key)
        self._check_fence(stored, manifest)
        return self._store(kind, key, {**stored, "status": copy.deepcopy(manifest["status"])})

    async def delete(self, live: Live) -> None:
        kind, key = kind_of(live), key_of(live)
        stored = self._stored(kind, key)
        self._before("delete", kind, key)
        self._check_fence(stored, live)
        if stored["metadata"].get("finalizers"):
            self._store(kind, key, _merged(stored, {"metadata": {"deletionTimestamp": "now"}}))
        else:
            self._remove(kind, key)
        self._after()

    async def create(self, manifest: Manifest) -> Live:
        kind, key = kind_of(manifest), key_of(manifest)
        if kind is EVENTS:
            self.events.append(manifest)
            return manifest
        if (kind.kind, key) in self.objects:
            raise ConflictError(f"{kind} {key} already exists")
        self._before("create", kind, key)
        return self._store(kind, key, copy.deepcopy(manifest))

    # --- as others use it

    def put(self, manifest: Mapping[str, Any]) -> None:
        """A person creates or replaces an object."""
        kind, key = kind_of(manifest), key_of(manifest)
        stored = self.objects.get((kind.kind, key), {})
        merged = {**stored, **copy.deepcopy(dict(manifest))}
        merged["metadata"] = {**stored.get("metadata", {}), **manifest["metadata"]}
        self._save(kind, key, merged)

    def remove(self, kind: Kind, key: Key) -> None:
        """A person deletes an object, which waits for its finalizers."""
        stored = self._stored(kind, key)
        if stored["metadata"].get("finalizers"):
            self._save(kind, key, _merged(stored, {"metadata": {"deletionTimestamp": "now"}}))
        else:
            self._remove(kind, key)

    def settle(self) -> bool:
        """The controllers of Deployments and of Gateways do their work; true if there was any."""
        before = len(self.changes)
        for (kind, key), stored in list(self.objects.items()):
            if kind == "Deployment":
                self._save(kind_of(stored), key, {**stored, "status": _deployment_status(stored)})
            if kind == "HTTPRoute":
                self._save(kind_of(stored), key, {**stored, "status": _route_status(stored)})
        return len(self.changes) > before

    # --- inside

    def _stored(self, kind: Kind, key: Key) -> dict[str, Any]:
        if (kind.kind, key) not in self.objects:
            raise NotFoundError(f"{kind} {key} not found")
        return self.objects[kind.kind, key]

    def _check_fence(self, stored: Live, written: Mapping[str, Any]) -> None:
        fence = {name: written.get("metadata", {}).get(name) for name in ("uid", "resourceVersion")}
        if any(value and value != stored["metadata"][name] for name, value in fence.items()):
            self.conflicts.append(self.writes[-1])
            raise ConflictError("the object has been modified")

    def _before(self, verb: str, kind: Kind, key: Key) -> None:
        self.writes.append(f"{verb} {kind} {key.name}")
        self.trouble(len(self.writes), "before")

    def _after(self) -> None:
        self.trouble(len(self.writes), "after")

    def _store(self, kind: Kind, key: Key, changed: dict[str, Any]) -> Live:
        answer = self._save(kind, key, changed)
        self._after()
        return answer

    def _save(self, kind: Kind, key: Key, changed: dict[str, Any]) -> Live:
        stored = self.objects.get((kind.kind, key))
        metadata = {**changed["metadata"], "resourceVersion": stored and stored["metadata"]["resourceVersion"]}
        metadata.setdefault("uid", f"uid-{next(self._versions)}")
        if stored is None or stored.get("spec") != changed.get("spec"):
            metadata["generation"] = metadata.get("generation", 0) + 1
        changed = {**changed, "metadata": metadata}
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            return self._remove(kind, key)
        if changed != stored:
            metadata["resourceVersion"] = str(next(self._versions))
            self.objects[kind.kind, key] = changed
            self.changes.append((kind, "MODIFIED" if stored else "ADDED", copy.deepcopy(changed)))
        return copy.deepcopy(changed)

    def _remove(self, kind: Kind, key: Key) -> Live:
        gone = self.objects.pop((kind.kind, key))
        gone = _merged(gone, {"metadata": {"resourceVersion": str(next(self._versions))}})
        self.changes.append((kind, "DELETED", gone))
        return gone


class VirtualQueue:
    """`WorkQueue` in the time of the test."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.schedule: Schedule[Key] = Schedule()
        self.closed = False
        self._backoff: Backoff[Key] = Backoff(spread=lambda: 1.0)
        self._clock = clock

    def add(self, key: Key, *, priority: Priority = Priority.CHANGE) -> None:
        self.schedule.add(key, now=self._clock(), priority=priority)

    def add_after(self, key: Key, seconds: float) -> None:
        self.schedule.add_later(key, due=self._clock() + seconds)

    def retry(self, key: Key, *, after: float | None = None) -> float:
        delay = self._backoff.delay(key, now=self._clock()) if after is None else after
        self.schedule.add_later(key, due=self._clock() + delay, priority=self.schedule.priority_of(key))
        return delay

    def forget(self, key: Key) -> None:
        self._backoff.forget(key)


class NoJudge:
    """Remembers what it was told to watch."""

    def __init__(self) -> None:
        self.watched: dict[Key, Watch] = {}

    def watch(self, rollout: Rollout, watch: Watch, written: Sequence[SloEvidence]) -> None:  # noqa: ARG002
        self.watched[Key(rollout.namespace, rollout.name)] = watch

    def unwatch(self, key: Key) -> None:
        self.watched.pop(key, None)


class Operator:
    """One life of the operator: fresh caches, the same cluster."""

    def __init__(self, api: FakeApi, clock: "Clock", *, copy_secrets: bool = False) -> None:
        self.api, self.clock = api, clock
        self.queue = VirtualQueue(clock.seconds)
        queue = cast("WorkQueue[Key]", self.queue)
        self.metrics = OwnMetrics()
        self.informers = Informers(
            api, namespaces=(), enqueue=self._enqueue, metrics=self.metrics, copy_secrets=copy_secrets
        )
        self.references = References(
            api,
            copied=tuple(kind for kind in COPIED.values() if kind in self.informers.kinds),
            namespaces=(),
            queue=queue,
            enqueue=self._enqueue,
            resync=timedelta(minutes=10),
        )
        self.readings = ReadingsBoard(enqueue=self._enqueue, metrics=self.metrics)
        self.alerts = AlertBoard(enqueue=self._enqueue, now=clock.now)
        self.judge = NoJudge()
        self.events = EventRecorder(api, instance="test", metrics=self.metrics, now=clock.now)
        warm_ups: Background[str] = Background(queue, done=lambda problem: not problem)
        preflights: Background[tuple[Obstacle, ...]] = Background(queue, done=lambda obstacles: not obstacles)
        refusals, reports = Refusals(now=clock.now), Reports(api)
        self.reconciler = Reconciler(
            queue,
            observer=Observer(
                informers=self.informers,
                readings=self.readings,
                alerts=self.alerts,
                preflights=preflights,
                warm_ups=warm_ups,
                refusals=refusals,
                references=self.references,
                reports=reports,
                crashes=Crashes(api, informers=self.informers, queue=queue, now=clock.now),
                look_again=lambda key, after: self.queue.add_after(key, after.total_seconds()),
                now=clock.now,
            ),
            decide=decide,
            applier=Applier(
                api,
                informers=self.informers,
                events=self.events,
                warm_ups=warm_ups,
                refusals=refusals,
                references=self.references,
                reports=reports,
                now=clock.now,
            ),
            events=self.events,
            judge=self.judge,
            readings=self.readings,
            preflight=self._preflight,
            preflights=preflights,
            metrics=self.metrics,
            now=clock.now,
        )
        self._told = len(api.changes)
        self.found: tuple[Obstacle, ...] = ()
        """What every preflight finds."""

    async def start(self) -> None:
        await self.informers.list_all()

    def hear(self) -> None:
        """The watches tell what has happened since they told last."""
        for kind, event, manifest in self.api.changes[self._told :]:
            if kind in COPIED.values():
                self.references.copied.hear(kind, manifest, gone=event == "DELETED")
            if kind is DEPLOYMENTS:
                self.references.workloads.hear(kind, manifest, gone=event == "DELETED")
            if kind in self.informers.kinds:
                is_seen = _is_selected(kind.selector, manifest) and _has_fields(kind.fields, manifest)
                self.informers.on_event(kind, event if is_seen else "DELETED", manifest)
        self._told = len(self.api.changes)

    def skip(self) -> None:
        """The watches lose what has happened since they told last."""
        self._told = len(self.api.changes)

    async def emitted(self) -> list[str]:
        """Reasons of the events so far."""
        posting = asyncio.create_task(self.events.run())
        await self.events.drain(seconds=5)
        posting.cancel()
        return [event["reason"] for event in self.api.events]

    async def look(self) -> bool:
        """Look at the rollout that is next; false if it is nobody's turn."""
        key = self.queue.schedule.pop(now=self.clock.seconds())
        if key is None:
            return False
        await self.reconciler.reconcile(key)
        self.queue.schedule.done(key)
        return True

    async def run_until(self, reached: Callable[[], bool], *, looks: int = 400) -> None:
        """Work, let the cluster settle, and let time pass while there is nothing else to do.

        Raises:
            AssertionError: it was not reached in that many looks.
        """
        for _ in range(looks):
            self.hear()
            if await self.look():
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            elif self.api.settle():
                continue
            elif reached():
                return
            else:
                due = self.queue.schedule.next_due()
                assert due is not None, f"nothing more will happen; writes: {self.api.writes}"
                self.clock.turn_to(due)
        raise AssertionError(f"not reached; writes: {self.api.writes[-20:]}")

    def _enqueue(self, key: Key, priority: Priority) -> None:
        self.queue.add(key, priority=priority)

    async def _preflight(self, _: Rollout, __: ModelRolloutStatus) -> tuple[Obstacle, ...]:
        return self.found


class Clock:
    """The time of the test."""

    def __init__(self) -> None:
        self._elapsed = 0.0

    def seconds(self) -> float:
        return self._elapsed

    def now(self) -> datetime:
        return START + timedelta(seconds=self._elapsed)

    def turn_to(self, seconds: float) -> None:
        self._elapsed = max(self._elapsed, seconds)


def rollout(version: str = "1.0.0", **spec: Any) -> dict[str, Any]:
    """A ModelRollout as a person writes it."""
    return {
        "apiVersion": MODEL_ROLLOUTS.api_version,
        "kind": "ModelRollout",
        "metadata": {"namespace": KEY.namespace, "name": KEY.name},
        "spec": {
            "model": {"version": version},
            "replicas": 4,
            "template": {"spec": {"containers": [{"name": "server", "image": "server:1"}]}},
            "strategy": {"canary": {"steps": [{"weight": weight, "hold": "1m"} for weight in (20, 50, 100)]}},
            "rollback": {"keepWarm": "5m"},
            **spec,
        },
    }


GATEWAY_ROUTER = {"gatewayAPI": {"parentRefs": [{"name": "public", "namespace": "infra"}]}}


def gateway_objects() -> list[dict[str, Any]]:
    """A Gateway and its class, both working."""
    return [
        {
            "apiVersion": GATEWAYS.api_version,
            "kind": "Gateway",
            "metadata": {"namespace": "infra", "name": "public"},
            "spec": {"gatewayClassName": "envoy", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
        },
        {
            "apiVersion": GATEWAY_CLASSES.api_version,
            "kind": "GatewayClass",
            "metadata": {"name": "envoy"},
            "spec": {"controllerName": "example.com/envoy"},
            "status": {"conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted"}]},
        },
    ]


def _is_selected(selector: str, manifest: Live) -> bool:
    labels = manifest["metadata"].get("labels", {})
    terms = [term for term in selector.split(",") if term]
    without = {tuple(term.split("!=")) for term in terms if "!=" in term}
    wanted = {tuple(term.split("=")) for term in terms if "!=" not in term and "=" in term}
    named = {term for term in terms if "=" not in term}
    return wanted <= labels.items() and without.isdisjoint(labels.items()) and named <= labels.keys()


def _has_fields(selector: str, manifest: Live) -> bool:
    """Only the phase of pods is ever asked for."""
    _, _, phase = selector.partition("status.phase=")
    return not phase or (manifest.get("status") or {}).get("phase") == phase


def _deployment_status(stored: Live) -> dict[str, Any]:
    replicas = stored["spec"]["replicas"]
    return {
        "observedGeneration": stored["metadata"]["generation"],
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": replicas,
    }


def _route_status(stored: Live) -> dict[str, Any]:
    generation = stored["metadata"]["generation"]
    conditions = [
        {"type": kind, "status": "True", "reason": kind, "observedGeneration": generation}
        for kind in ("Accepted", "ResolvedRefs")
    ]
    parents = [
        {"parentRef": ref, "controllerName": "example.com/envoy", "conditions": conditions}
        for ref in stored["spec"]["parentRefs"]
    ]
    return {"parents": parents}


def _merged(stored: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(dict(stored))
    for name, value in changes.items():
        if isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            merged[name] = _merged(merged[name], value)
        elif value is None:
            merged.pop(name, None)
        else:
            merged[name] = copy.deepcopy(value)
    return merged

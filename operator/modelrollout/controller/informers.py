"""A cache for every kind, kept up to date by watches and LISTs; every change names the rollouts that it concerns."""

import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager

from tenacity import AsyncRetrying, before_sleep_log, retry_if_exception_type, wait_random_exponential

from modelrollout.api.objects import Live
from modelrollout.api.rollout import ModelRollout
from modelrollout.controller.cache import Cache
from modelrollout.controller.client import (
    ConflictError,
    ExpiredError,
    KubeApi,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from modelrollout.controller.kinds import (
    CHILDREN,
    CONTROLLER_REVISIONS,
    GATEWAYS,
    GUARDS,
    MODEL_ROLLOUTS,
    PODS,
    ROLLOUT_ACTIONS,
    SECRETS,
    WATCHED,
    Key,
    Kind,
    is_ours,
    key_of,
    kind_of,
    owner_of,
)
from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.controller.queue import Priority
from modelrollout.workloads.shortage import is_unschedulable

_log = logging.getLogger(__name__)

_LONGEST_WAIT = 15
"""Seconds between two tries of a LIST."""


class Informers:
    """Everything seen of the cluster, for `api.objects.Objects` and by kind."""

    def __init__(
        self,
        api: KubeApi,
        *,
        namespaces: tuple[str, ...],
        enqueue: Callable[[Key, Priority], None],
        metrics: OwnMetrics,
        copy_secrets: bool = False,
    ) -> None:
        self._api = api
        self._namespaces = namespaces
        self._enqueue = enqueue
        self._metrics = metrics
        self.kinds = tuple(
            kind
            for kind in WATCHED
            if (kind.namespaced or kind in GUARDS or not namespaces) and (copy_secrets or kind is not SECRETS)
        )
        self.rollouts = Cache(MODEL_ROLLOUTS, ModelRollout.model_validate)
        self._others: dict[str, Cache[Live]] = {
            kind.kind: Cache(kind, _as_it_is) for kind in self.kinds if kind is not MODEL_ROLLOUTS
        }
        self._served: set[Kind] = set()
        self._gateways: dict[Key, frozenset[Key]] = {}
        """The Gateways that each rollout of the gatewayAPI router names."""
        self._belonging: dict[Kind, dict[Key, set[Key]]] = {
            kind: defaultdict(set) for kind in (CONTROLLER_REVISIONS, PODS, ROLLOUT_ACTIONS)
        }
        """By rollout: the records of what its attempts ran, its pods that the scheduler finds no node for, and the
        RolloutActions that were not told yet what became of them."""

    def get(self, kind: str, namespace: str, name: str) -> Live | None:
        """See `Objects.get`."""
        cache = self._others.get(kind)
        return cache.get(Key(namespace, name)) if cache else None

    def asked(self, rollout: Key) -> list[Live]:
        """The RolloutActions that were not told yet what became of them, oldest first."""
        return sorted(self._of(rollout, ROLLOUT_ACTIONS), key=_age)

    def records(self, rollout: Key) -> Iterator[Live]:
        """What there is to tell of the attempts of a rollout, without what they ran."""
        return self._of(rollout, CONTROLLER_REVISIONS)

    def unschedulable(self, rollout: Key) -> Iterator[Live]:
        """The pods of a rollout that the scheduler finds no node for, with what it says of them."""
        return self._of(rollout, PODS)

    def _of(self, rollout: Key, kind: Kind) -> Iterator[Live]:
        return filter(None, map(self._others[kind.kind].get, self._belonging[kind].get(rollout, ())))

    def watches(self, kind: str, namespace: str) -> bool:
        """See `Objects.watches`."""
        cache = self._others.get(kind)
        is_served = cache is not None and cache.kind in self._served
        return is_served and (not self._namespaces or namespace in (*self._namespaces, ""))

    def on_event(self, kind: Kind, event: str | None, manifest: Live) -> None:
        """Take in what a watch tells: ADDED, MODIFIED, DELETED, or None for what it lists at its beginning."""
        self._served.add(kind)
        priority = Priority.SWEEP if event is None else Priority.CHANGE
        if event == "DELETED":
            self._forget(kind, manifest, priority)
        else:
            self._take(kind, manifest, priority)

    def learn(self, manifest: Live) -> None:
        """Take in the answer to a write of ours, so that the next decision sees it before the watch tells of it."""
        kind = kind_of(manifest)
        if kind in CHILDREN and not is_ours(manifest):
            return
        if self._cache(kind).put(manifest):
            self._note(kind, manifest)

    async def refresh(self, kind: Kind, key: Key) -> None:
        """Look at one object now, because what is known of it has turned out to be old."""
        try:
            self.learn(await self._api.get(kind, key))
        except NotFoundError:
            known = self._cache(kind).last_seen(key)
            if known:
                self._forget(kind, known, Priority.CHANGE)

    @asynccontextmanager
    async def refreshing(self, kind: Kind, key: Key) -> AsyncIterator[None]:
        """A write of one object, which is looked at again where the write fails because of what was known of it."""
        try:
            yield
        except (ConflictError, NotFoundError):
            await self.refresh(kind, key)
            raise

    async def list_all(self) -> None:
        """List every kind, take in what is new and forget what is gone; retries for as long as it takes."""
        for kind in self.kinds:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type((UnavailableError, ExpiredError, _MissingCRDError)),
                wait=wait_random_exponential(max=_LONGEST_WAIT),
                before_sleep=before_sleep_log(_log, logging.WARNING),
            ):
                with attempt:
                    await self._list(kind)

    async def _list(self, kind: Kind) -> None:
        try:
            for namespace in self._namespaces if kind.namespaced and self._namespaces else ("",):
                await self._list_namespace(kind, namespace)
        except (NotFoundError, RefusedError) as error:
            if kind is MODEL_ROLLOUTS:
                raise _MissingCRDError(f"cannot list ModelRollouts: {error}") from error
            if isinstance(error, NotFoundError):
                self._served.discard(kind)
            else:
                _log.warning("cannot list %s: %s", kind, error)
        else:
            self._note_served(kind)

    def _note_served(self, kind: Kind) -> None:
        """A kind that is installed later may be what a rollout waits for."""
        if kind not in self._served:
            self._served.add(kind)
            self._enqueue_all(self._gateways, Priority.SWEEP)

    async def _list_namespace(self, kind: Kind, namespace: str) -> None:
        listed: set[Key] = set()
        resource_version = ""
        async for page in self._api.pages(kind, namespace=namespace, selector=kind.selector, fields=kind.fields):
            resource_version = page.resource_version
            for manifest in page.items:
                listed.add(key_of(manifest))
                if self._take(kind, manifest, Priority.SWEEP) and kind in self._served:
                    self._metrics.missed_by_watch.labels(kind.kind).inc()
        for ghost in self._cache(kind).keep_only(listed, namespace=namespace, resource_version=resource_version):
            self._metrics.missed_by_watch.labels(kind.kind).inc()
            self._gone(kind, ghost, Priority.SWEEP)

    def _take(self, kind: Kind, manifest: Live, priority: Priority) -> bool:
        if kind is PODS and not is_unschedulable(manifest):
            self._forget(kind, manifest, priority)
            return False
        if not self._cache(kind).put(manifest):
            return False
        self._note(kind, manifest)
        self._enqueue_all(self._concerned(kind, manifest), priority)
        return True

    def _forget(self, kind: Kind, manifest: Live, priority: Priority) -> None:
        if self._cache(kind).remove(manifest):
            self._gone(kind, manifest, priority)

    def _gone(self, kind: Kind, manifest: Live, priority: Priority) -> None:
        if kind is MODEL_ROLLOUTS:
            self._gateways.pop(key_of(manifest), None)
        self._leave_out(kind, manifest)
        self._enqueue_all(self._concerned(kind, manifest), priority)

    def _enqueue_all(self, keys: Iterable[Key], priority: Priority) -> None:
        for key in keys:
            self._enqueue(key, priority)

    def _concerned(self, kind: Kind, manifest: Live) -> list[Key]:
        """The rollouts that a change of this object may matter to."""
        key = key_of(manifest)
        if kind is MODEL_ROLLOUTS:
            return [key]
        if kind in CHILDREN or kind in self._belonging:
            rollout = _rollout_of(kind, manifest)
            return [rollout] if rollout else []
        if kind is GATEWAYS:
            return [rollout for rollout, gateways in self._gateways.items() if key in gateways]
        if kind in GUARDS:
            return []  # what it decides is looked at when somebody asks for something
        return list(self._gateways)  # a GatewayClass: any Gateway may be of it

    def _note(self, kind: Kind, manifest: Live) -> None:
        """Remember by which way an object is found."""
        if kind is MODEL_ROLLOUTS:
            self._note_gateways(manifest)
        rollout = _rollout_of(kind, manifest) if kind in self._belonging else None
        if kind is ROLLOUT_ACTIONS and (manifest.get("status") or {}).get("outcome"):
            self._leave_out(kind, manifest)
        elif rollout:
            self._belonging[kind][rollout].add(key_of(manifest))

    def _leave_out(self, kind: Kind, manifest: Live) -> None:
        """It is gone, or answered."""
        known, rollout = self._belonging.get(kind, {}), _rollout_of(kind, manifest)
        if rollout in known:
            known[rollout].discard(key_of(manifest))
            if not known[rollout]:
                del known[rollout]

    def _note_gateways(self, manifest: Live) -> None:
        key = key_of(manifest)
        router = ((manifest.get("spec") or {}).get("traffic") or {}).get("gatewayAPI")
        if router is None:
            self._gateways.pop(key, None)
            return
        parents = router.get("parentRefs") or []
        self._gateways[key] = frozenset(Key(ref.get("namespace") or key.namespace, ref["name"]) for ref in parents)

    def _cache(self, kind: Kind) -> Cache[ModelRollout] | Cache[Live]:
        return self.rollouts if kind is MODEL_ROLLOUTS else self._others[kind.kind]


class _MissingCRDError(Exception):
    """ModelRollouts cannot be listed, so there is nothing to do until somebody installs the CRD or the role."""


def _rollout_of(kind: Kind, manifest: Live) -> Key | None:
    """The rollout that an object belongs to, or that an action is asked of."""
    if kind is ROLLOUT_ACTIONS:
        return Key(manifest["metadata"]["namespace"], manifest["spec"]["rollout"])
    return owner_of(manifest)


def _age(action: Live) -> tuple[str, int]:
    """Creation is told to the second; within one, the order is that of the versions as far as they are numbers."""
    version = str(action["metadata"]["resourceVersion"])
    return action["metadata"]["creationTimestamp"], int(version) if version.isdecimal() else 0


def _as_it_is(manifest: Live) -> Live:
    return manifest

"""Objects that rollouts only name: ConfigMaps and Secrets of templates, Deployments of workloadRefs.

A cluster may hold any number of them, so nothing is kept of those that no rollout names, and of the others only what
matters, such as a hash. The watch asks for metadata alone and begins when somebody names one. What has changed is then
read by itself, beside the reconcile path: no revert waits for it.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from tenacity import AsyncRetrying, before_sleep_log, retry_if_exception_type, wait_random_exponential

from modelrollout.api.objects import Live
from modelrollout.controller.background import Background
from modelrollout.controller.cache import is_newer
from modelrollout.controller.client import ApiError, KubeApi, NotFoundError
from modelrollout.controller.kinds import Key, Kind, key_of
from modelrollout.controller.queue import Priority
from modelrollout.workloads.copies import Reference

T = TypeVar("T")

_log = logging.getLogger(__name__)

_LONGEST_WAIT = 15
_BETWEEN_WATCHES = 1.0
"""Seconds."""

_Named = tuple[str, Key]
"""Kind and key of an object that some rollout names."""


@dataclass(frozen=True, kw_only=True)
class Reading(Generic[T]):
    """What was read for a rollout."""

    found: Mapping[Reference, T | None]
    """What matters of each object; None: there is no such object."""
    problem: str = ""
    """Why something could not be read."""


@dataclass(frozen=True)
class _State:
    """A state of an object, as far as it is to be told from others."""

    version: str
    content: Hashable

    def is_news_after(self, known: "_State") -> bool:
        return self.content != known.content and is_newer(self.version, known.version)


_NO_SUCH_OBJECT = _State("", None)


def version_of(manifest: Live) -> str:
    """For objects of which every change matters."""
    return str(manifest["metadata"]["resourceVersion"])


class Sources(Generic[T]):
    """Which rollout names what, and whether it has changed."""

    def __init__(
        self,
        api: KubeApi,
        *,
        kinds: tuple[Kind, ...],
        namespaces: tuple[str, ...],
        readings: Background[Reading[T]],
        enqueue: Callable[[Key, Priority], None],
        resync: timedelta,
        keep: Callable[[Live], T],
        content: Callable[[Live], Hashable] = version_of,
        selector: str = "",
    ) -> None:
        """`keep` is what matters of an object that was read.

        By its metadata alone `content` tells whether that may be something else than before. The selector leaves out
        what nobody names; what is named all the same is read, and changes of it are not heard.
        """
        self._api = api
        self._kinds = {kind.kind: kind for kind in kinds}
        self._namespaces = namespaces
        self._readings = readings
        self._enqueue = enqueue
        self._resync = resync
        self._keep = keep
        self._content = content
        self._selector = selector
        self._names: dict[Key, frozenset[_Named]] = {}
        self._named_by: dict[_Named, set[Key]] = defaultdict(set)
        self._changes: dict[_Named, int] = defaultdict(int)
        self._read: dict[_Named, _State] = {}
        self._heard: dict[_Named, _State] = {}
        self._wanted = {kind.kind: asyncio.Event() for kind in kinds}

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds that may be copied."""
        return frozenset(self._kinds)

    def look(self, rollout: Key, references: frozenset[Reference]) -> Reading[T] | None:
        """What is known of the objects that a rollout names; None while they are being read."""
        named = frozenset((one.kind, Key(rollout.namespace, one.name)) for one in references)
        self._note(rollout, named)
        if not named:
            self._readings.forget(rollout)
            return Reading(found={})
        subject = frozenset((one, self._changes[one]) for one in named)
        self._readings.ensure(rollout, subject, lambda: self._read_all(references, rollout.namespace))
        return self._readings.result(rollout, subject)

    def forget(self, rollout: Key) -> None:
        """The rollout is gone."""
        self._note(rollout, frozenset())
        self._readings.forget(rollout)

    def hear(self, kind: Kind, manifest: Live, *, gone: bool = False) -> None:
        """Take in what a watch or a list tells: only whether it is another state than the one that was read."""
        named = (kind.kind, key_of(manifest))
        if named not in self._named_by:
            return
        known = self._read.get(named)
        if gone:
            self._heard.pop(named, None)
            is_news = known not in (None, _NO_SUCH_OBJECT)
        else:
            heard = self._heard[named] = self._state(manifest)
            is_news = known is not None and heard.is_news_after(known)
        if is_news:
            self._has_changed(named)

    async def run(self) -> None:
        """Follow every kind for as long as the process runs."""
        async with asyncio.TaskGroup() as tasks:
            for kind in self._kinds.values():
                for namespace in self._namespaces or ("",):
                    tasks.create_task(self._follow(kind, namespace), name=f"watch of {kind} {namespace}")

    async def _follow(self, kind: Kind, namespace: str) -> None:
        await self._wanted[kind.kind].wait()
        while True:
            version = await self._list(kind, namespace)
            try:
                changes = self._api.watch_metadata(
                    kind,
                    namespace=namespace,
                    selector=self._selector,
                    resource_version=version,
                    seconds=self._resync.total_seconds(),
                )
                async for event, manifest in changes:
                    self.hear(kind, manifest, gone=event == "DELETED")
            except ApiError as error:
                _log.debug("the watch of %s ended: %s", kind, error)
            await asyncio.sleep(_BETWEEN_WATCHES)

    async def _list(self, kind: Kind, namespace: str) -> str:
        """Find what a watch may have missed; returns the resourceVersion to watch from."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(ApiError),
            wait=wait_random_exponential(max=_LONGEST_WAIT),
            before_sleep=before_sleep_log(_log, logging.WARNING),
        ):
            with attempt:
                listed, version = set[Key](), ""
                async for page in self._api.metadata_pages(kind, namespace=namespace, selector=self._selector):
                    version = page.resource_version
                    for manifest in page.items:
                        listed.add(key_of(manifest))
                        self.hear(kind, manifest)
        for named, read in list(self._read.items()):
            there = named[1] in listed or read is _NO_SUCH_OBJECT or is_newer(read.version, version)
            if not there and named[0] == kind.kind and namespace in ("", named[1].namespace):
                self._has_changed(named)
        return version

    async def _read_all(self, references: frozenset[Reference], namespace: str) -> Reading[T]:
        found: dict[Reference, T | None] = {}
        for reference in sorted(references):
            try:
                found[reference] = await self._read_one(reference, namespace)
            except ApiError as error:
                return Reading(found={}, problem=f"{reference} cannot be read: {error}")
        return Reading(found=found)

    async def _read_one(self, reference: Reference, namespace: str) -> T | None:
        named = (reference.kind, Key(namespace, reference.name))
        try:
            source = await self._api.get(self._kinds[reference.kind], named[1])
        except NotFoundError:
            self._read[named] = _NO_SUCH_OBJECT
            if self._heard.pop(named, None):
                self._has_changed(named)
            return None
        read = self._read[named] = self._state(source)
        if named in self._heard and self._heard[named].is_news_after(read):
            self._has_changed(named)
        return self._keep(source)

    def _state(self, manifest: Live) -> _State:
        return _State(version_of(manifest), self._content(manifest))

    def _has_changed(self, named: _Named) -> None:
        self._read.pop(named, None)
        self._changes[named] += 1
        for rollout in self._named_by.get(named, ()):
            self._enqueue(rollout, Priority.CHANGE)

    def _note(self, rollout: Key, named: frozenset[_Named]) -> None:
        before = self._names.get(rollout, frozenset())
        if named == before:
            return
        for one in before - named:
            self._named_by[one].discard(rollout)
            if not self._named_by[one]:
                for known in (self._named_by, self._changes, self._read, self._heard):
                    known.pop(one, None)
        for one in named - before:
            self._named_by[one].add(rollout)
            self._wanted[one[0]].set()
        self._names[rollout] = named
        if not named:
            del self._names[rollout]

"""The ConfigMaps that templates name, and Secrets where they are copied too.

A cluster may hold any number of them, so nothing is kept of those that no rollout names, and of the others only a hash.
The watch asks for metadata alone and begins when somebody names one. What has changed is then read by itself, beside
the reconcile path: no revert waits for it.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from tenacity import AsyncRetrying, before_sleep_log, retry_if_exception_type, wait_random_exponential

from modelrollout.api.objects import Live
from modelrollout.controller.background import Background
from modelrollout.controller.cache import is_newer
from modelrollout.controller.client import ApiError, KubeApi, NotFoundError
from modelrollout.controller.kinds import Key, Kind, key_of
from modelrollout.controller.queue import Priority
from modelrollout.workloads import copies
from modelrollout.workloads.copies import Reference

_log = logging.getLogger(__name__)

_LONGEST_WAIT = 15
_BETWEEN_WATCHES = 1.0
"""Seconds."""

_Named = tuple[str, Key]
"""Kind and key of an object that some rollout names."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was read for a rollout."""

    digests: Mapping[Reference, str | None]
    """Hash of what is in each object; None: there is no such object."""
    problem: str = ""
    """Why something could not be read."""


class Sources:
    """Which rollout names what, and whether it has changed."""

    def __init__(
        self,
        api: KubeApi,
        *,
        kinds: tuple[Kind, ...],
        namespaces: tuple[str, ...],
        readings: Background[Reading],
        enqueue: Callable[[Key, Priority], None],
        resync: timedelta,
    ) -> None:
        self._api = api
        self._kinds = {kind.kind: kind for kind in kinds}
        self._namespaces = namespaces
        self._readings = readings
        self._enqueue = enqueue
        self._resync = resync
        self._names: dict[Key, frozenset[_Named]] = {}
        self._named_by: dict[_Named, set[Key]] = defaultdict(set)
        self._changes: dict[_Named, int] = defaultdict(int)
        self._read: dict[_Named, str] = {}
        """The resourceVersion that was read; empty: there was no such object."""
        self._heard: dict[_Named, str] = {}
        self._wanted = {kind.kind: asyncio.Event() for kind in kinds}

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds that may be copied."""
        return frozenset(self._kinds)

    def look(self, rollout: Key, references: frozenset[Reference]) -> Reading | None:
        """What is known of the objects that a rollout names; None while they are being read."""
        named = frozenset((one.kind, Key(rollout.namespace, one.name)) for one in references)
        self._note(rollout, named)
        if not named:
            self._readings.forget(rollout)
            return Reading(digests={})
        subject = frozenset((one, self._changes[one]) for one in named)
        self._readings.ensure(rollout, subject, lambda: self._read_all(references, rollout.namespace))
        return self._readings.result(rollout, subject)

    def forget(self, rollout: Key) -> None:
        """The rollout is gone."""
        self._note(rollout, frozenset())
        self._readings.forget(rollout)

    def hear(self, kind: Kind, manifest: Live, *, gone: bool = False) -> None:
        """Take in what a watch or a list tells: only whether it is another state than the one that was read."""
        named, version = (kind.kind, key_of(manifest)), str(manifest["metadata"]["resourceVersion"])
        if named not in self._named_by:
            return
        known = self._read.get(named)
        if gone:
            self._heard.pop(named, None)
            is_news = bool(known)
        else:
            self._heard[named] = version
            is_news = known == "" or (known is not None and is_newer(version, known))
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
                    kind, namespace=namespace, resource_version=version, seconds=self._resync.total_seconds()
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
                async for page in self._api.metadata_pages(kind, namespace=namespace):
                    version = page.resource_version
                    for manifest in page.items:
                        listed.add(key_of(manifest))
                        self.hear(kind, manifest)
        for named, read in list(self._read.items()):
            there = named[1] in listed or not read or is_newer(read, version)
            if not there and named[0] == kind.kind and namespace in ("", named[1].namespace):
                self._has_changed(named)
        return version

    async def _read_all(self, references: frozenset[Reference], namespace: str) -> Reading:
        digests: dict[Reference, str | None] = {}
        for reference in sorted(references):
            try:
                digests[reference] = await self._read_one(reference, namespace)
            except ApiError as error:
                return Reading(digests={}, problem=f"{reference}, which the template names, cannot be read: {error}")
        return Reading(digests=digests)

    async def _read_one(self, reference: Reference, namespace: str) -> str | None:
        named = (reference.kind, Key(namespace, reference.name))
        try:
            source = await self._api.get(self._kinds[reference.kind], named[1])
        except NotFoundError:
            self._read[named] = ""
            if self._heard.pop(named, ""):
                self._has_changed(named)
            return None
        version = str(source["metadata"]["resourceVersion"])
        self._read[named] = version
        if named in self._heard and is_newer(self._heard[named], version):
            self._has_changed(named)
        return copies.digest_of(source)

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

"""Direct scrapes of one rollout: which pods of both versions, how often, and what came of it."""

import asyncio
import math
import random
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from itertools import chain

from modelrollout.api.objects import Live
from modelrollout.api.quantities import parse_duration
from modelrollout.api.scrapes import DirectScrapes
from modelrollout.metrics.prometheus import RawSeries, Unavailable
from modelrollout.metrics.scrapes import Pod, Scraper, Wanted
from modelrollout.metrics.templates import ATTEMPT_LABEL, COLOUR_LABEL, NAME_LABEL, UP, Arm

MOST_PODS = 20
"""Of one version: a share of bad ones is that of some pods as well as of all."""

_AT_ONCE = 8
"""Pods of one rollout."""

_EARLY = 600.0
"""Seconds from the start of a stage in which a scrape may be the first to see harm."""

_LATER = 3
"""How many times as long the interval is after that."""

_PATIENCE = 0.75
"""Share of the interval that a pod has for its answer."""

_LONGEST_PAUSE = 10.0
"""Seconds between scrapes of a pod that does not answer, and between lists of pods that fail."""

_MISSED = 3
_MARGIN = 5.0
"""As many scrapes may fail, and so many seconds pass, until what was scraped last is no longer the present."""


@dataclass(kw_only=True)
class _Pause:
    """A pod that does not answer is asked less often. In seconds, the end since the epoch."""

    length: float
    until: float


@dataclass(frozen=True, kw_only=True)
class _Round:
    """One scrape of every pod that is due."""

    wanted: DirectScrapes
    scraper: Scraper
    series: Wanted
    interval: float
    clock: Callable[[], float]
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))


class _Side:
    """The pods of one version."""

    def __init__(self, arm: Arm) -> None:
        self.problem = ""
        """Why a pod, or all of them, cannot be scraped; empty when all can."""
        self._arm = arm
        self._listed: tuple[Hashable] | None = None
        """State of the pods as they were listed last."""
        self._list_at = -math.inf
        self._pods: tuple[Pod, ...] = ()
        self._passed_over: frozenset[str] = frozenset()
        """Pods for which there was no room: what they have counted by the time that there is is not known to be new."""
        self._pauses: dict[str, _Pause] = {}

    async def look(self, look: _Round) -> list[RawSeries]:
        """What the pods that are due expose."""
        trouble = await self._list(look)
        now = look.clock()
        due = [pod for pod in self._pods if pod.name not in self._pauses or self._pauses[pod.name].until <= now]
        found = await asyncio.gather(*(self._scrape(pod, look) for pod in due))
        if not trouble and not self._pauses:
            self.problem = "" if self._pods else f"the version {self._arm.colour} has no pod that runs"
        return list(chain.from_iterable(found))

    async def _list(self, look: _Round) -> bool:
        """Find the pods anew if they may have changed; true when that fails."""
        state, now = look.scraper.pods.state(self._arm), look.clock()
        if self._listed == (state,):
            return False
        if now < self._list_at:
            return True
        try:
            async with asyncio.timeout(look.interval):
                listed = await look.scraper.pods.of(self._arm)
            if not isinstance(listed, Unavailable):
                self._take(listed, look.wanted)
                self._listed = (state,)
                return False
            self.problem = listed.message
        except TimeoutError:
            self.problem = f"the pods cannot be listed within {look.interval:g} s"
        except ValueError as error:
            self.problem = str(error)
        self._list_at = now + _LONGEST_PAUSE
        return True

    def _take(self, listed: Collection[Live], wanted: DirectScrapes) -> None:
        """Choose among the pods that there are; those that were chosen before stay."""
        there = {pod["metadata"]["name"]: pod for pod in listed if _runs(pod)}
        before = [one.name for one in self._pods if one.name in there]
        others = sorted(there.keys() - set(before) - self._passed_over)
        chosen = (before + others)[:MOST_PODS]
        self._passed_over = frozenset(there.keys() - set(chosen))
        self._pods = tuple(_pod(name, there[name], wanted) for name in chosen)
        self._pauses = {name: pause for name, pause in self._pauses.items() if name in chosen}

    async def _scrape(self, pod: Pod, look: _Round) -> list[RawSeries]:
        async with look.turns:
            began = look.clock()
            answer = await look.scraper.scrape(pod, look.series, seconds=_PATIENCE * look.interval)
        if isinstance(answer, Unavailable):
            before = self._pauses.get(pod.name)
            length = min(2 * before.length if before else look.interval, _LONGEST_PAUSE)
            self._pauses[pod.name] = _Pause(length=length, until=began + length * random.uniform(0.8, 1))  # noqa: S311
            self.problem = answer.message
            return [_series(self._arm, pod, {"__name__": UP}, began, 0.0)]
        self._pauses.pop(pod.name, None)
        exposed = (_series(self._arm, pod, labels, began, value) for labels, value in answer)
        return [_series(self._arm, pod, {"__name__": UP}, began, 1.0), *exposed]


class Direct:
    """Which pods of a rollout are scraped directly, and when."""

    def __init__(self, wanted: DirectScrapes, arms: Collection[Arm], since: float) -> None:
        self.wanted = wanted
        self.since = since
        """Start of the stage."""
        self.due = 0.0
        """Of time.monotonic(): when to scrape; infinite while that is under way."""
        self._sides = {arm: _Side(arm) for arm in arms}

    @property
    def arms(self) -> Collection[Arm]:
        """The versions whose pods are scraped."""
        return self._sides.keys()

    @property
    def problem(self) -> str:
        """Why pods cannot be scraped, those of the candidate first; empty when all can."""
        return next((side.problem for side in self._sides.values() if side.problem), "")

    def interval(self, now: float) -> float:
        """Seconds between two scrapes of a pod."""
        usual = parse_duration(self.wanted.interval).total_seconds()
        return usual if now - self.since < _EARLY else _LATER * usual

    def lasts(self, now: float) -> float:
        """Seconds for which a scrape tells of the present."""
        return _MISSED * self.interval(now) + _MARGIN

    async def look(
        self, scraper: Scraper, series: Wanted, *, clock: Callable[[], float]
    ) -> Mapping[Arm, list[RawSeries]]:
        """One scrape of every pod that is due, those of both versions at once; by version, what they expose.

        `clock` tells seconds since the epoch.
        """
        look = _Round(wanted=self.wanted, scraper=scraper, series=series, interval=self.interval(clock()), clock=clock)
        found = await asyncio.gather(*(side.look(look) for side in self._sides.values()))
        return dict(zip(self._sides, found, strict=True))


def _series(arm: Arm, pod: Pod, labels: Mapping[str, str], time: float, value: float) -> RawSeries:
    """As Prometheus would have it: labels of the target, before which labels of the same name give way."""
    of_target = {
        "namespace": arm.namespace,
        "pod": pod.name,
        "instance": pod.instance,
        NAME_LABEL: arm.rollout,
        COLOUR_LABEL: arm.colour.value,
        ATTEMPT_LABEL: str(arm.attempt),
    }
    own = {f"exported_{name}" if name in of_target else name: text for name, text in labels.items()}
    return RawSeries({**own, **of_target}, [(time, repr(value))])


def _runs(pod: Live) -> bool:
    """Whether it has an address that is its own for the time being."""
    status = pod.get("status") or {}
    over = "deletionTimestamp" in pod["metadata"] or status.get("phase") in {"Succeeded", "Failed"}
    return bool(status.get("podIP")) and not over


def _pod(name: str, manifest: Live, wanted: DirectScrapes) -> Pod:
    port, path = wanted.endpoint(manifest)
    return Pod(name=name, ip=manifest["status"]["podIP"], port=port, path=path)

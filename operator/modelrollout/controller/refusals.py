"""Writes that the API server refuses as wrong: said to people, and not repeated hot."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelrollout.controller.kinds import Key
from modelrollout.engine.effects import (
    ApplyServices,
    ApplyWorkload,
    Effect,
    ScaleWorkload,
    SetTraffic,
    WriteReport,
    WriteStatus,
)

_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=30)
"""A quota, a policy or a webhook may have been mended meanwhile, and what waits may be a revert."""

_Target = tuple[type[Effect], object]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What was refused, of which generation of the spec, with the API server's words."""

    effect: Effect
    generation: int
    message: str
    pause: timedelta
    again_at: datetime


class Refusals:
    """The last refusal of each rollout by what was to be written; the same again and again makes the pauses longer."""

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self._by_key: dict[Key, dict[_Target, Refusal]] = {}

    def note(self, key: Key, *, effect: Effect, generation: int, message: str) -> tuple[Refusal, bool]:
        """Remember a refusal; returns it, and whether it is news for people."""
        targets = self._by_key.setdefault(key, {})
        before = targets.get(_target(effect))
        pause = _FIRST_PAUSE
        if before and before.generation == generation and _is_same(before.effect, effect):
            pause = min(2 * before.pause, _LONGEST_PAUSE)
        refusal = Refusal(
            effect=effect, generation=generation, message=message, pause=pause, again_at=self._now() + pause
        )
        targets[_target(effect)] = refusal
        is_news = before is None or (before.generation, before.message) != (generation, message)
        return refusal, is_news

    def of_workloads(self, key: Key, *, generation: int) -> list[tuple[ApplyWorkload | ScaleWorkload, str]]:
        """What was said against Deployments and their number of pods, as long as it is about the present spec."""
        refusals = ((one.effect, one.message) for one in self._current(key, generation))
        return [(effect, message) for effect, message in refusals if isinstance(effect, ApplyWorkload | ScaleWorkload)]

    def of_traffic(self, key: Key, *, generation: int) -> list[str]:
        """What was said against Services or the route, as long as it is about the present spec."""
        refusals = self._current(key, generation)
        return [one.message for one in refusals if isinstance(one.effect, SetTraffic | ApplyServices)]

    def still_refused(self, key: Key, *, effect: Effect, generation: int) -> Refusal | None:
        """The refusal of this very effect, if it was a moment ago."""
        refusal = self._by_key.get(key, {}).get(_target(effect))
        if refusal is None or refusal.generation != generation or self._now() >= refusal.again_at:
            return None
        return refusal if _is_same(refusal.effect, effect) else None

    def of_report(self, key: Key) -> datetime | None:
        """When a report that was refused a moment ago may be asked for again; None when none was."""
        refusals = self._by_key.get(key, {}).values()
        again_at = [one.again_at for one in refusals if isinstance(one.effect, WriteReport)]
        return next((moment for moment in again_at if self._now() < moment), None)

    def clear(self, key: Key, *, effect: Effect) -> bool:
        """The effect was carried out: what was said against it is over; true if something was."""
        return self._by_key.get(key, {}).pop(_target(effect), None) is not None

    def forget(self, key: Key) -> None:
        """The rollout is gone."""
        self._by_key.pop(key, None)

    def _current(self, key: Key, generation: int) -> list[Refusal]:
        return [one for one in self._by_key.get(key, {}).values() if one.generation == generation]


def _target(effect: Effect) -> _Target:
    """What an effect writes to."""
    return type(effect), effect.colour if isinstance(effect, ApplyWorkload | ScaleWorkload) else None


def _is_same(refused: Effect, effect: Effect) -> bool:
    """Whether the answer will be the same. A status is another one at each look, by the times in it."""
    return isinstance(effect, WriteStatus) or refused == effect

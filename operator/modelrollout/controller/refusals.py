"""Writes that the API server refuses as wrong: said to people, and not repeated hot."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelrollout.controller.kinds import Key
from modelrollout.engine.effects import ApplyServices, ApplyWorkload, Effect, ScaleWorkload, SetTraffic

AGAIN_AFTER = timedelta(minutes=1)
"""A quota, a policy or a webhook may have been mended in the meantime."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What was refused, of which generation of the spec, with the API server's words."""

    effect: Effect
    generation: int
    message: str
    at: datetime


class Refusals:
    """The last refusal of each rollout. There is one at most, since effects stop at the first that fails."""

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self._by_key: dict[Key, Refusal] = {}

    def note(self, key: Key, *, effect: Effect, generation: int, message: str) -> bool:
        """Remember a refusal; true if it is news for people."""
        before = self._by_key.get(key)
        self._by_key[key] = Refusal(effect=effect, generation=generation, message=message, at=self._now())
        return before is None or (before.effect, before.message) != (effect, message)

    def of_workload(self, key: Key, *, generation: int) -> Refusal | None:
        """The refusal of a Deployment, as long as it is about the present spec."""
        refusal = self._current(key, generation)
        return refusal if refusal and isinstance(refusal.effect, ApplyWorkload) else None

    def of_traffic(self, key: Key, *, generation: int) -> Refusal | None:
        """The refusal of a Service or of a route, as long as it is about the present spec."""
        refusal = self._current(key, generation)
        return refusal if refusal and isinstance(refusal.effect, SetTraffic | ApplyServices) else None

    def still_refused(self, key: Key, *, effect: Effect, generation: int) -> Refusal | None:
        """The refusal of this very effect, if it was a moment ago."""
        refusal = self._current(key, generation)
        if refusal and refusal.effect == effect and self._now() - refusal.at < AGAIN_AFTER:
            return refusal
        return None

    def clear(self, key: Key, *, effect: Effect) -> bool:
        """The effect was carried out: what was said against it is over; true if something was."""
        refusal = self._by_key.get(key)
        if refusal is None or _target(refusal.effect) != _target(effect):
            return False
        del self._by_key[key]
        return True

    def forget(self, key: Key) -> None:
        """The rollout is gone."""
        self._by_key.pop(key, None)

    def _current(self, key: Key, generation: int) -> Refusal | None:
        refusal = self._by_key.get(key)
        return refusal if refusal and refusal.generation == generation else None


def _target(effect: Effect) -> tuple[type[Effect], object]:
    """What an effect writes to."""
    return type(effect), effect.colour if isinstance(effect, ApplyWorkload | ScaleWorkload) else None

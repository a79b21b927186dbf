"""A cluster in memory with the operator at work in it, for stories about one rollout."""

from typing import Any

from modelrollout.api.slo import Verdict
from modelrollout.api.status import SloStatus
from modelrollout.controller.client import (
    RefusedError,
)
from modelrollout.engine.snapshot import Readings
from unit.controller.fake_cluster import (
    GATEWAY_ROUTER,
    KEY,
    Clock,
    FakeApi,
    Operator,
    gateway_objects,
    rollout,
)

SLOS = [{"name": "errors", "query": {"value": "0"}, "limit": "0.1", "consecutiveBreaches": 2}]
SPEC: dict[str, Any] = {"traffic": GATEWAY_ROUTER, "slos": SLOS}


class Scene:
    """A cluster, its time, and the operator in it."""

    def __init__(self) -> None:
        self.api, self.clock = FakeApi(), Clock()
        for manifest in gateway_objects():
            self.api.put(manifest)
        self.operator = Operator(self.api, self.clock)

    def restart(self) -> None:
        """Another life of the operator."""
        self.operator = Operator(self.api, self.clock)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.api.objects["ModelRollout", KEY].get("status", {})
        return status

    def condition(self, kind: str) -> dict[str, Any]:
        return next(condition for condition in self.status()["conditions"] if condition["type"] == kind)

    def weights(self) -> list[int]:
        """Per cent of blue and of green."""
        rules = self.api.objects["HTTPRoute", KEY]["spec"]["rules"]
        return [round(backend["weight"] / 10_000) for backend in rules[0]["backendRefs"]]

    async def serve(self, version: str) -> None:
        self.api.put(rollout(version, **SPEC))
        await self.operator.run_until(lambda: self.serves(version))

    def serves(self, version: str) -> bool:
        return bool(self.status().get("stable", {}).get("version") == version)

    async def reach_first_stage(self) -> None:
        await self.serve("1.0.0")
        self.api.put(rollout("2.0.0", **SPEC))
        await self.operator.run_until(lambda: "reachedAt" in self.status().get("stage", {}))

    async def note(self, reason: str) -> str:
        """What the last event with this reason says."""
        await self.operator.emitted()
        notes = [event["note"] for event in self.api.events if event["reason"] == reason]
        assert notes, f"no event {reason}"
        return str(notes[-1])

    def refuse(self, *writes: str, times: int = 1000) -> list[float]:
        """Have the API server refuse these writes so many times; the moments of the refusals, as they come."""
        struck: list[float] = []

        def strike(number: int, when: str) -> None:
            if when == "before" and self.api.writes[-1] in writes and len(struck) < times:
                struck.append(self.clock.seconds())
                raise RefusedError(f"forbidden: {self.api.writes[-1]}")

        self.api.trouble = strike
        return struck

    def read(self, verdict: Verdict, *, seconds: float) -> None:
        """The poller says something this many seconds from now."""
        self.clock.turn_to(self.clock.seconds() + seconds)
        now = self.clock.now()
        slo = SloStatus(name="errors", verdict=verdict, reason="AboveLimit", message="0.2 > 0.1", at=now)
        watch = self.operator.judge.watched[KEY]
        readings = Readings(attempt=watch.attempt, stage=watch.stage, looked_at=now, by_slo={"errors": slo})
        self.operator.readings.post(KEY, readings)

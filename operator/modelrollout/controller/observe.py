"""Gathers what a decision depends on: the rollout, its objects as last seen, what the judge and the preflight said."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from modelrollout.api.labels import FINALIZER, colour_name
from modelrollout.api.owner import Rollout
from modelrollout.api.rollout import ModelRollout
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import Colour, ModelRolloutStatus, Phase
from modelrollout.controller.background import Background
from modelrollout.controller.informers import Informers
from modelrollout.controller.kinds import DEPLOYMENTS, Key
from modelrollout.controller.readings import ReadingsBoard
from modelrollout.controller.refusals import Refusals
from modelrollout.engine.effects import ApplyWorkload
from modelrollout.engine.snapshot import Obstacle, Snapshot, Workload
from modelrollout.traffic.router import router_for
from modelrollout.workloads import deployment

ROUTE_SETTLES_WITHIN = timedelta(seconds=10)
"""After every change of a route its controllers need a moment; what they say against it until then means nothing."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A rollout as it was looked at, and the snapshot made of it."""

    key: Key
    rollout: ModelRollout
    owner: Rollout
    snapshot: Snapshot

    @property
    def spec(self) -> ModelRolloutSpec:
        return self.rollout.spec

    @property
    def resource_version(self) -> str:
        return str(self.rollout.metadata["resourceVersion"])


class Observer:
    """Looks at one rollout at a time, in memory only."""

    def __init__(
        self,
        *,
        informers: Informers,
        readings: ReadingsBoard,
        preflights: Background[tuple[Obstacle, ...]],
        warm_ups: Background[str],
        refusals: Refusals,
        look_again: Callable[[Key, timedelta], None],
        now: Callable[[], datetime],
    ) -> None:
        self._informers = informers
        self._readings = readings
        self._preflights = preflights
        self._warm_ups = warm_ups
        self._refusals = refusals
        self._look_again = look_again
        self._now = now
        self._in_the_way_since: dict[Key, dict[Obstacle, datetime]] = {}

    def look(self, key: Key) -> Seen | None:
        """What is known of a rollout; None when there is no such rollout.

        Raises:
            pydantic.ValidationError: the object does not fit the API of this operator.
        """
        rollout = self._informers.rollouts.get(key)
        if rollout is None:
            return None
        owner = Rollout(name=key.name, namespace=key.namespace, uid=rollout.metadata["uid"], spec=rollout.spec)
        return Seen(key=key, rollout=rollout, owner=owner, snapshot=self._snapshot(key, rollout, owner))

    def forget(self, key: Key) -> None:
        """The rollout is gone."""
        self._in_the_way_since.pop(key, None)

    def _snapshot(self, key: Key, rollout: ModelRollout, owner: Rollout) -> Snapshot:
        metadata, status = rollout.metadata, rollout.status
        workloads = self._workloads(key, metadata["generation"])
        warmed, warm_up_error = self._warmed(key, status)
        return Snapshot(
            name=key.name,
            namespace=key.namespace,
            generation=metadata["generation"],
            spec=rollout.spec,
            status=status,
            workloads=workloads,
            route=router_for(rollout.spec).observe(owner, self._informers, workloads),
            readings=self._readings.get(key),
            obstacles=self._obstacles(key, rollout, owner),
            preflighted=self._preflights.result(key, preflight_subject(rollout, status)) is not None,
            warmed=warmed,
            warm_up_error=warm_up_error,
            deleting="deletionTimestamp" in metadata,
            has_finalizer=FINALIZER in (metadata.get("finalizers") or []),
        )

    def _workloads(self, key: Key, generation: int) -> Mapping[Colour, Workload]:
        workloads: dict[Colour, Workload] = {}
        for colour in Colour:
            live = self._informers.get(DEPLOYMENTS.kind, key.namespace, colour_name(key.name, colour))
            if live:
                workloads[colour] = deployment.observe(live)
        refusal = self._refusals.of_workload(key, generation=generation)
        if refusal and isinstance(refusal.effect, ApplyWorkload):
            colour = refusal.effect.colour
            workloads[colour] = _refused(workloads.get(colour), refusal.effect, refusal.message)
        return workloads

    def _warmed(self, key: Key, status: ModelRolloutStatus) -> tuple[frozenset[tuple[Colour, int]], str]:
        if status.candidate is None:
            return frozenset(), ""
        subject = (status.candidate.colour, status.candidate.attempt)
        problem = self._warm_ups.result(key, subject)
        if problem is None:
            return frozenset(), ""
        return (frozenset(), problem) if problem else (frozenset({subject}), "")

    def _obstacles(self, key: Key, rollout: ModelRollout, owner: Rollout) -> tuple[Obstacle, ...]:
        """What the API server refused, what the router sees in the way, and what the preflight found."""
        refusal = self._refusals.of_traffic(key, generation=rollout.metadata["generation"])
        refused = _traffic_refused(refusal.message) if refusal else ()
        route = router_for(rollout.spec).obstacles(owner, self._informers)
        if rollout.status.phase is not Phase.PREPARING:
            route = self._lasting(key, route)
        return (*refused, *route, *(self._preflights.result(key, preflight_subject(rollout, rollout.status)) or ()))

    def _lasting(self, key: Key, obstacles: tuple[Obstacle, ...]) -> tuple[Obstacle, ...]:
        """Those that have been there for longer than a route takes to settle."""
        now, before = self._now(), self._in_the_way_since.pop(key, {})
        if not obstacles:
            return ()
        since = self._in_the_way_since[key] = {obstacle: before.get(obstacle, now) for obstacle in obstacles}
        lasting = tuple(obstacle for obstacle in obstacles if now - since[obstacle] >= ROUTE_SETTLES_WITHIN)
        if len(lasting) < len(obstacles):
            self._look_again(key, ROUTE_SETTLES_WITHIN)
        return lasting


def _refused(seen: Workload | None, effect: ApplyWorkload, message: str) -> Workload:
    """The Deployment with the API server's words as its complaint, whether or not an older state of it is there."""
    complaint = f"the API server refuses the Deployment: {message}"
    if seen:
        return replace(seen, message=complaint)
    return Workload(
        revision=effect.revision, attempt=effect.attempt, desired=0, ready=0, settled=False, message=complaint
    )


def _traffic_refused(message: str) -> tuple[Obstacle, ...]:
    return (
        Obstacle(condition="RouteReady", reason="RouteRefused", message=f"the API server refuses the route: {message}"),
    )


def preflight_subject(rollout: ModelRollout, status: ModelRolloutStatus) -> tuple[int, int]:
    """What a preflight is about: with another attempt or another spec, it has to be made again."""
    return status.attempt, rollout.metadata["generation"]

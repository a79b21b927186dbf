"""Gathers what a decision depends on: the rollout, its objects as last seen, what the judge and the preflight said."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pydantic import ValidationError

from modelrollout.api.action import RolloutActionSpec
from modelrollout.api.base import problems
from modelrollout.api.labels import COLOUR, FINALIZER, attempt_of, colour_name
from modelrollout.api.objects import Live
from modelrollout.api.owner import Rollout
from modelrollout.api.rollout import ModelRollout
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import Colour, ModelRolloutStatus, Phase
from modelrollout.controller import guard
from modelrollout.controller.alerts import AlertBoard
from modelrollout.controller.background import Background
from modelrollout.controller.crashes import Crashes
from modelrollout.controller.informers import Informers
from modelrollout.controller.kinds import DEPLOYMENTS, Key
from modelrollout.controller.readings import ReadingsBoard
from modelrollout.controller.references import Described, References
from modelrollout.controller.refusals import Refusals
from modelrollout.controller.reporting import Reports
from modelrollout.engine.effects import ApplyWorkload
from modelrollout.engine.snapshot import Asked, Obstacle, Snapshot, Workload
from modelrollout.traffic.router import router_for
from modelrollout.workloads import deployment, revisions
from modelrollout.workloads.copies import Reference
from modelrollout.workloads.shortage import with_unscheduled

OBSTACLE_LASTS = timedelta(seconds=10)
"""After every change of a route its controllers need a moment; what they say against it until then means nothing."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A rollout as it was looked at, and the snapshot made of it."""

    key: Key
    rollout: ModelRollout
    owner: Rollout
    snapshot: Snapshot
    copies: Mapping[Reference, str] = field(default_factory=dict)
    """By object that the template names: the name of the copy in its place."""

    @property
    def spec(self) -> ModelRolloutSpec:
        return self.rollout.spec

    @property
    def resource_version(self) -> str:
        return str(self.rollout.metadata["resourceVersion"])


class UnreadableError(Exception):
    """A rollout that does not fit the API of this operator: a CRD of another version let it in."""

    def __init__(self, rollout: Live, error: ValidationError) -> None:
        super().__init__("; ".join(problems(error)))
        self.rollout = rollout


class Observer:
    """Looks at one rollout at a time, in memory only."""

    def __init__(
        self,
        *,
        informers: Informers,
        readings: ReadingsBoard,
        alerts: AlertBoard,
        preflights: Background[tuple[Obstacle, ...]],
        warm_ups: Background[str],
        refusals: Refusals,
        references: References,
        reports: Reports,
        crashes: Crashes,
        look_again: Callable[[Key, timedelta], None],
        now: Callable[[], datetime],
    ) -> None:
        self._informers = informers
        self._readings = readings
        self._alerts = alerts
        self._preflights = preflights
        self._warm_ups = warm_ups
        self._refusals = refusals
        self._references = references
        self._reports = reports
        self._crashes = crashes
        self._look_again = look_again
        self._now = now
        self._in_the_way_since: dict[Key, dict[Obstacle, datetime]] = {}

    def look(self, key: Key) -> Seen | None:
        """What is known of a rollout; None when there is no such rollout.

        Raises:
            UnreadableError: the object does not fit the API of this operator.
        """
        try:
            rollout = self._informers.rollouts.get(key)
        except ValidationError as error:
            raise UnreadableError(self._informers.rollouts.last_seen(key) or {}, error) from error
        if rollout is None:
            return None
        described = self._references.look(key, rollout)
        owner = Rollout(name=key.name, namespace=key.namespace, uid=rollout.metadata["uid"], spec=described.spec)
        snapshot = self._snapshot(key, rollout, owner, described)
        return Seen(key=key, rollout=rollout, owner=owner, snapshot=snapshot, copies=described.copies)

    def forget(self, key: Key) -> None:
        """The rollout is gone."""
        self._references.forget(key)
        self._crashes.forget(key)
        self._in_the_way_since.pop(key, None)

    def _snapshot(self, key: Key, rollout: ModelRollout, owner: Rollout, described: Described) -> Snapshot:
        metadata, status = rollout.metadata, rollout.status
        workloads = self._workloads(key, metadata["generation"])
        warmed, warm_up_error = self._warmed(key, metadata["generation"], status)
        lasting, passing = self._route_obstacles(key, rollout, owner)
        # What was found in the way of a candidate goes with it.
        found = self._preflights.result(key, preflight_subject(rollout, status)) if status.candidate else None
        return Snapshot(
            name=key.name,
            namespace=key.namespace,
            generation=metadata["generation"],
            spec=described.spec,
            status=status,
            workloads=workloads,
            crashes=self._crashes.known(key, status),
            copied=described.copied,
            origin=described.origin,
            recorded=dict(map(revisions.observe, self._informers.records(key))),
            route=router_for(rollout.spec).observe(owner, self._informers, workloads),
            readings=self._readings.get(key),
            alerts=self._alerts.get(key),
            obstacles=(*self._refused_traffic(key, metadata["generation"]), *lasting, *(found or ())),
            preflighted=found is not None and not (passing and status.phase is Phase.PREPARING),
            warmed=warmed,
            warm_up_error=warm_up_error,
            actions=self._asked(key),
            guarded_since=guard.in_force_since(self._informers),
            reported=self._reports.written(key),
            report_refused=self._report_is_refused(key),
            deleting="deletionTimestamp" in metadata,
            has_finalizer=FINALIZER in (metadata.get("finalizers") or []),
        )

    def _asked(self, key: Key) -> tuple[Asked, ...]:
        """What people ask for. The API server has looked at it, so what does not fit is of a later API."""
        asked = []
        for action in self._informers.asked(key):
            with suppress(ValidationError):
                spec = RolloutActionSpec.model_validate(action["spec"])
                metadata = action["metadata"]
                created = datetime.fromisoformat(metadata["creationTimestamp"])
                asked.append(Asked(uid=metadata["uid"], name=metadata["name"], created=created, spec=spec))
        return tuple(asked)

    def _workloads(self, key: Key, generation: int) -> Mapping[Colour, Workload]:
        workloads: dict[Colour, Workload] = {}
        unschedulable = list(self._informers.unschedulable(key))
        for colour in Colour:
            live = self._informers.get(DEPLOYMENTS.kind, key.namespace, colour_name(key.name, colour))
            if live:
                workload = deployment.observe(live)
                waiting = [pod for pod in unschedulable if _is_of(pod, colour, workload)]
                workloads[colour] = with_unscheduled(workload, waiting)
        for effect, message in self._refusals.of_workloads(key, generation=generation):
            complaint = f"the API server refuses the Deployment: {message}"
            seen = workloads.get(effect.colour)
            if seen:
                workloads[effect.colour] = replace(seen, message=complaint)
            elif isinstance(effect, ApplyWorkload):
                workloads[effect.colour] = _never_made(effect, complaint)
        return workloads

    def _warmed(
        self, key: Key, generation: int, status: ModelRolloutStatus
    ) -> tuple[frozenset[tuple[Colour, int]], str]:
        if status.candidate is None:
            return frozenset(), ""
        warmed = (status.candidate.colour, status.candidate.attempt)
        problem = self._warm_ups.result(key, warm_up_subject(*warmed, generation))
        if problem is None:
            return frozenset(), ""
        return (frozenset(), problem) if problem else (frozenset({warmed}), "")

    def _refused_traffic(self, key: Key, generation: int) -> list[Obstacle]:
        """What the API server says against Services and route."""
        return [
            Obstacle(
                condition="RouteReady", reason="RouteRefused", message=f"the API server refuses the route: {message}"
            )
            for message in self._refusals.of_traffic(key, generation=generation)
        ]

    def _report_is_refused(self, key: Key) -> bool:
        """Whether a report was refused a moment ago; then there is another look when that is over."""
        again_at = self._refusals.of_report(key)
        if again_at:
            self._look_again(key, again_at - self._now())
        return again_at is not None

    def _route_obstacles(self, key: Key, rollout: ModelRollout, owner: Rollout) -> tuple[list[Obstacle], bool]:
        """What the router has seen in the way for longer than a route takes to settle; and whether there is more.

        What is there for a shorter time is not worth a word, but nobody begins a first stage on it.
        """
        now, before = self._now(), self._in_the_way_since.pop(key, {})
        obstacles = router_for(rollout.spec).obstacles(owner, self._informers)
        if not obstacles:
            return [], False
        since = self._in_the_way_since[key] = {obstacle: before.get(obstacle, now) for obstacle in obstacles}
        lasting = [obstacle for obstacle in since if now - since[obstacle] >= OBSTACLE_LASTS]
        passing = [since[obstacle] for obstacle in since if obstacle not in lasting]
        if passing:
            self._look_again(key, min(passing) + OBSTACLE_LASTS - now)
        return lasting, bool(passing)


def _is_of(pod: Live, colour: Colour, workload: Workload) -> bool:
    """Whether a pod is of the version that a colour has now."""
    labels = pod["metadata"].get("labels") or {}
    return labels.get(COLOUR) == colour and attempt_of(pod) == workload.attempt


def _never_made(effect: ApplyWorkload, complaint: str) -> Workload:
    """A Deployment that is not there, with the reason."""
    return Workload(
        revision=effect.revision,
        attempt=effect.attempt,
        version="",
        desired=0,
        ready=0,
        answering=0,
        settled=False,
        message=complaint,
    )


def preflight_subject(rollout: ModelRollout, status: ModelRolloutStatus) -> tuple[int, int]:
    """What a preflight is about: with another attempt or another spec, it has to be made again."""
    return status.attempt, rollout.metadata["generation"]


def warm_up_subject(colour: Colour, attempt: int, generation: int) -> tuple[Colour, int, int]:
    """What a warm-up is about: with another spec it may be another request, or another port."""
    return colour, attempt, generation

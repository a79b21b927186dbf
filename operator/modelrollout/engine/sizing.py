"""How many pods each colour has while there is no room for two full copies, and what share of the requests goes along.

Up and down in small steps that follow what is seen: the candidate's pods get ready, its requests rise as far as these
carry them, stable gives up the pods whose requests have gone, and the candidate gets their room. The other way round it
is the same. So there are always as many ready pods as the spec asks for, or one less where the user allows it.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime

from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import ColourStatus, ModelRolloutStatus, Phase
from modelrollout.engine.capacity import ROUTE_SETTLES, candidate_replicas, carried, splits_by_pods
from modelrollout.engine.draining import drain_time
from modelrollout.engine.gates import gate
from modelrollout.engine.move import (
    answering_pods,
    evolve,
    gets_requests,
    is_ready,
    own_workload,
    paused_by,
    ready_pods,
    route_share,
)
from modelrollout.engine.room import spare, usable_room
from modelrollout.engine.snapshot import Snapshot
from modelrollout.engine.stages import expand, next_stage
from modelrollout.engine.windows import opens_at


def first_replicas(spec: ModelRolloutSpec, status: ModelRolloutStatus) -> int:
    """Pods that the candidate needs before the first stage; all of them when it is to serve at once.

    Where they do not all fit beside stable, as many as do: the others follow within the stage.
    """
    room = usable_room(spec, status)
    first = next_stage(spec, -1, room)
    pods = spec.replicas
    if status.stable and first is not None and not status.promoting:
        pods = max(candidate_replicas(spec, expand(spec)[first].weight, room), 1)
    return pods if room is None else min(pods, max(room - spec.replicas, 1))


def may_begin(snapshot: Snapshot, candidate: ColourStatus, now: datetime) -> bool:
    """Whether nothing but pods keeps the candidate from its first stage."""
    spec, status = snapshot.spec, snapshot.status
    if snapshot.obstacles or not snapshot.preflighted or gate(snapshot, candidate):
        return False
    first = next_stage(spec, -1, usable_room(spec, status)) or 0
    is_open = opens_at(expand(spec)[first].window, now) <= now
    return status.promoting or (is_open and not paused_by(snapshot))


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A candidate and a stable version that have to do with room for so many pods of both."""

    snapshot: Snapshot
    stable: ColourStatus
    candidate: ColourStatus
    room: int
    now: datetime

    @property
    def stable_pods(self) -> int:
        """Pods that stable is to have; on the way back all of them at once, and none is taken away."""
        full = self._spec.replicas
        if self._status.phase not in (Phase.PREPARING, Phase.PROGRESSING):
            seen = own_workload(self.snapshot, self.stable)
            return max(full, seen.desired if seen else 0)
        given_up = self._taken_over + (0 if self._is_held_up else self._spare)
        least = max(full - given_up, 0 if self._is_drained or full == 1 else 1)
        return min(max(self.room - max(self._wanted, self._kept), least), full)

    @property
    def candidate_pods(self) -> int:
        """Pods that the candidate is to have: no more than there is room for beside those of stable."""
        if self._status.phase is Phase.REVERTING:
            return self._pods_on_the_way_back
        if self._is_held_up:
            return self._kept
        own = own_workload(self.snapshot, self.candidate)
        fits = max(self.room - self.stable_pods, own.placed if own else 0)
        return max(self._kept, min(self._wanted, fits))

    @property
    def weight(self) -> int:
        """The candidate's weight now, where the router has weights.

        It rises as far as ready pods carry it, and falls as far as those of stable carry what comes back to them.
        """
        stage, present = self._status.stage, round(self._share)
        declared = stage.weight if self._status.phase is Phase.PROGRESSING and stage else 0
        if self._status.way_back:
            declared = min(self._status.way_back.weight, present)
        is_known = present > 0 or (stage is not None and self.now >= stage.entered_at + ROUTE_SETTLES)
        carries = self._carries if is_known and self._is_settled else present
        return max(min(declared, carries), min(present, self._not_carried_by_stable))

    @property
    def carries_all(self) -> bool:
        """Whether the candidate's pods can carry all requests."""
        return self._is_settled and self._carries == 100

    @property
    def stable_carries_all(self) -> bool:
        """Whether all of the candidate's requests may go back to stable without too much for its pods."""
        return self._not_carried_by_stable == 0

    @property
    def _spec(self) -> ModelRolloutSpec:
        return self.snapshot.spec

    @property
    def _status(self) -> ModelRolloutStatus:
        return self.snapshot.status

    @property
    def _spare(self) -> int:
        return spare(self._spec, self._status)

    @property
    def _share(self) -> float:
        return route_share(self.snapshot, self.candidate.colour)

    @property
    def _desired(self) -> int:
        own = own_workload(self.snapshot, self.candidate)
        return own.desired if own else 0

    @property
    def _is_settled(self) -> bool:
        return is_ready(self.snapshot, self.candidate, pods=0)

    @property
    def _is_held_up(self) -> bool:
        """Stable gives up nothing ahead for a candidate that could not begin anyway, and that one gets no pods yet."""
        prepares = self._status.phase is Phase.PREPARING
        return prepares and self._spare > 0 and not may_begin(self.snapshot, self.candidate, self.now)

    @property
    def _wanted(self) -> int:
        """Pods that the candidate needs for where it is."""
        if self._status.phase is Phase.PROGRESSING and self._status.stage:
            return max(candidate_replicas(self._spec, self._status.stage.weight, self.room), 1)
        return first_replicas(self._spec, self._status)

    @property
    def _is_drained(self) -> bool:
        """Whether stable gets no requests any more, and has finished its answers."""
        capacity = self._status.capacity
        emptied_at = capacity.emptied_at if capacity and self._share >= 100 else None
        return emptied_at is not None and self.now >= emptied_at + drain_time(self._spec)

    @property
    def _taken_over(self) -> int:
        """Ready pods of the candidate that have as many requests as that many pods of stable would have."""
        ready = ready_pods(self.snapshot, self.candidate)
        if self._share == 0 or splits_by_pods(self._spec):
            return ready if self._share else 0
        return min(ready, math.ceil((round(self._share) + 1) * self._spec.replicas / 100) - 1)

    @property
    def _kept(self) -> int:
        """Pods of the candidate that its present requests need, as far as it has them."""
        return min(self._desired, max(self._needed - self._spare, 0))

    @property
    def _needed(self) -> int:
        full = self._spec.replicas
        if self._share == 0 or self._share >= 100:
            return full if self._share else 0
        missing = full - answering_pods(self.snapshot, self.stable)
        return missing if splits_by_pods(self._spec) else max(missing, math.ceil(full * round(self._share) / 100))

    @property
    def _carries(self) -> int:
        """Per cent of the requests that the candidate's ready pods carry; all but the spare one may carry all."""
        ready, stage = ready_pods(self.snapshot, self.candidate), self._status.stage
        is_last = stage is not None and stage.weight == 100
        if is_last and ready >= max(self._spec.replicas - self._spare, 1):
            return 100
        return carried(self._spec, ready)

    @property
    def _not_carried_by_stable(self) -> int:
        """Per cent of the requests that are too much for stable's ready pods, if the candidate answers them."""
        if not answering_pods(self.snapshot, self.candidate):
            return 0
        ready = answering_pods(self.snapshot, self.stable)
        return 100 - carried(self._spec, ready + self._spare if ready else 0)

    @property
    def _pods_on_the_way_back(self) -> int:
        """All of them until they have drained, unless stable needs their room to answer at all, or step by step."""
        if self._status.way_back:
            wanted = candidate_replicas(self._spec, self._status.way_back.weight, self.room)
            return min(self._desired, max(wanted, self._kept))
        stands_alone = gets_requests(self.snapshot, self.candidate.colour) and not answering_pods(
            self.snapshot, self.stable
        )
        return min(self._desired, max(self.room - 1, 0)) if stands_alone else self._desired


def fit(snapshot: Snapshot, status: ModelRolloutStatus, now: datetime) -> Fit | None:
    """How both fit in; None while no limit is known, or nobody is on trial."""
    room = usable_room(snapshot.spec, status)
    if room is None or status.stable is None or status.candidate is None:
        return None
    seen = replace(snapshot, status=status)
    return Fit(snapshot=seen, stable=status.stable, candidate=status.candidate, room=room, now=now)


def with_step(snapshot: Snapshot, status: ModelRolloutStatus, now: datetime) -> ModelRolloutStatus:
    """The status with the present step: each has the progress deadline for itself."""
    fitted, capacity = fit(snapshot, status, now), status.capacity
    if fitted is None or capacity is None or status.phase is Phase.REVERTING:
        return status
    serves_all = route_share(snapshot, fitted.candidate.colour) >= 100
    pods = fitted.candidate_pods
    capacity = evolve(
        capacity,
        pods=pods,
        since=capacity.since if capacity.pods == pods else now,
        emptied_at=(capacity.emptied_at or now) if serves_all else None,
    )
    return evolve(status, capacity=capacity)


def drain_due(spec: ModelRolloutSpec, status: ModelRolloutStatus, now: datetime) -> datetime | None:
    """When a stable version without requests will have finished its answers, so that its last pod makes room."""
    emptied_at = status.capacity.emptied_at if status.capacity and status.candidate else None
    drained_at = emptied_at + drain_time(spec) if emptied_at else now
    return drained_at if drained_at > now else None

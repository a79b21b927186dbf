"""What the engine sees: one rollout at one moment, gathered from caches by the shell. Plain values, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from modelrollout.api.action import RolloutActionSpec
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import Colour, ModelRolloutStatus, SloStatus
from modelrollout.api.traffic import HeaderMatch


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The Deployment of one colour as last seen. `revision` and `attempt` are the labels that we put on it."""

    revision: str
    attempt: int
    version: str
    """The version of the model that its pods are told to serve."""
    desired: int
    """spec.replicas."""
    ready: int
    """Ready pods of the newest template: only they say that a version is up."""
    answering: int
    """Ready pods of any template: they get requests, as while somebody restarts a Deployment."""
    settled: bool
    """The Deployment controller has seen the newest spec, so `ready` speaks of it."""
    total: int = 0
    """All pods, terminating ones excepted."""
    message: str = ""
    """What the Deployment controller complains of, such as a quota; empty when nothing."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """What the router shows: the share of each colour in per cent, and who is sent by header, as last seen."""

    shares: Mapping[Colour, float]
    cohorts: Mapping[Colour, frozenset[HeaderMatch]] = field(default_factory=dict)
    """Whose requests all go to a colour, whatever the shares."""
    excluded: frozenset[HeaderMatch] = frozenset()
    """Whose requests all go to stable, whatever else they carry."""
    attempt: int = 0
    """The attempt that is stable, as the routing object shows it; 0 when it does not."""
    token: str = ""
    """Which object, and which state of it, was seen: it is written under that, so that a stale view moves nothing."""


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What the judge says of the SLOs of one stage of one attempt, by name.

    Counting breaches in a row is the engine's part: `breaches` is 0 here. Looked at too long ago, they say nothing.
    """

    attempt: int
    stage: int
    looked_at: datetime
    by_slo: Mapping[str, SloStatus]


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Something found before any traffic moves that a person has to mend; it holds the rollout and never reverts it."""

    condition: str
    """Type of the condition that reports it: RouteReady or MetricsReady."""
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A RolloutAction that has not been told yet what became of it."""

    uid: str
    name: str
    spec: RolloutActionSpec


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything that a decision may depend on, besides the time."""

    name: str
    namespace: str
    generation: int
    spec: ModelRolloutSpec
    status: ModelRolloutStatus
    workloads: Mapping[Colour, Workload] = field(default_factory=dict)
    route: Route | None = None
    readings: Readings | None = None
    obstacles: tuple[Obstacle, ...] = ()
    preflighted: bool = False
    """Whether somebody has looked at queries and metrics for this attempt (a slow look, off the path of decisions)."""
    warmed: frozenset[tuple[Colour, int]] = frozenset()
    """(colour, attempt) pairs whose ready pods have all answered their warm-up requests."""
    warm_up_error: str = ""
    """Why the last warm-up failed, if it did."""
    actions: tuple[Asked, ...] = ()
    """What people ask for, oldest first."""
    approvals_guarded: bool = True
    """Whether the API server looks at who approves; approvals that anybody could have written are worth nothing."""
    deleting: bool = False
    has_finalizer: bool = True

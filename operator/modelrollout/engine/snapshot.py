"""What the engine sees: one rollout at one moment, gathered from caches by the shell. Plain values, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from modelrollout.api.action import RolloutActionSpec
from modelrollout.api.evidence import SloEvidence
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import Colour, ModelRolloutStatus, SloStatus
from modelrollout.api.traffic import HeaderMatch


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """Pods are wanted and there is no room for them, which other pods that go would make."""

    reason: str
    """QuotaExceeded or Unschedulable."""
    message: str
    """In the words of the quota or the scheduler."""
    since: datetime


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
    unscheduled: int = 0
    """Pods for which the scheduler finds no node."""
    message: str = ""
    """What the Deployment controller or the scheduler complains of, such as a quota; empty when nothing."""
    shortage: Shortage | None = None

    @property
    def placed(self) -> int:
        """Pods that have a place: they take up room."""
        return self.total - self.unscheduled


@dataclass(frozen=True, kw_only=True)
class Crash:
    """A container that has ended at least once, as its pod told when somebody looked at it last."""

    colour: Colour
    attempt: int
    pod: str
    container: str
    restarts: int
    """Since the pod was made."""
    restarts_since_ready: int
    """Since the container was first seen ready, as far as this process saw it."""
    was_ready: bool
    """Its pod has been ready at some time, and so may have had requests."""
    looping: bool
    """It ended so often that the kubelet waits before it starts it again."""
    reason: str
    """Why it ended last, such as Error or OOMKilled; empty when the pod does not say."""
    exit_code: int | None
    ended_at: datetime | None

    @property
    def is_out_of_memory(self) -> bool:
        return self.reason == "OOMKilled"


@dataclass(frozen=True, kw_only=True)
class Copied:
    """What of the things that the template names is copied, as last read."""

    digests: Mapping[str, str]
    """By object: hash of what is in it; empty for an optional one that does not exist."""
    trouble: str | None = None
    """Why it is not known what is to be copied, such as a ConfigMap that is missing; empty while it is being read.

    The same goes for the template where spec.workloadRef names it.
    """


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The workload that spec.workloadRef names, as last read: it answers until the rollout does."""

    name: str
    uid: str
    desired: int
    """Pods that it is told to have."""
    handed_over: bool
    """It was scaled to 0 for this very ModelRollout; that is not done again, whatever it is told to have now."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What the record of an attempt says of it; what the attempt ran is in the record itself."""

    revision: str
    version: str


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
    evidence: Mapping[str, SloEvidence] = field(default_factory=dict)
    """By SLO: where its sequential tests stand."""


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert that fires, as Prometheus pushed it."""

    name: str
    labels: Mapping[str, str]
    summary: str
    starts_at: datetime
    ends_at: datetime
    """Unless it is heard of again before, it fires no longer then."""
    colour: str
    """That it names; empty where it names none."""
    attempt: str
    """That it names; empty where it names none."""


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
    created: datetime
    spec: RolloutActionSpec


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything that a decision may depend on, besides the time."""

    name: str
    namespace: str
    generation: int
    spec: ModelRolloutSpec
    """With the template that spec.workloadRef stands for; None there as long as that one is unknown."""
    status: ModelRolloutStatus
    workloads: Mapping[Colour, Workload] = field(default_factory=dict)
    crashes: tuple[Crash, ...] = ()
    """What containers of either version suffered, while there is a candidate."""
    copied: Copied | None = None
    """None: the template names nothing that is copied."""
    origin: Origin | None = None
    """None: the spec names none, or it is not there, or unknown."""
    recorded: Mapping[int, Recorded] = field(default_factory=dict)
    """By attempt: what there are records of."""
    route: Route | None = None
    readings: Readings | None = None
    alerts: tuple[Alert, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    preflighted: bool = False
    """Whether somebody has looked at queries and metrics for this attempt (a slow look, off the path of decisions)."""
    warmed: frozenset[tuple[Colour, int]] = frozenset()
    """(colour, attempt) pairs whose ready pods have all answered their warm-up requests."""
    warm_up_error: str = ""
    """Why the last warm-up failed, if it did."""
    actions: tuple[Asked, ...] = ()
    """What people ask for, oldest first."""
    guarded_since: datetime | None = None
    """Since when the API server checks of each RolloutAction that its author may ask for it; None: it does not.

    What was asked for before that may come from anybody.
    """
    reported: frozenset[tuple[int, int]] = frozenset()
    """(attempt, number of entries) pairs that RolloutReports are known to have."""
    report_refused: bool = False
    """The API server refused a RolloutReport a moment ago, and it is not asked again yet."""
    deleting: bool = False
    has_finalizer: bool = True

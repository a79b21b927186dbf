"""What the engine asks for.

The shell carries effects out in the order given and stops at the first that fails; each may be repeated without harm.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from modelrollout.api.action import ActionOutcome
from modelrollout.api.attempt import AttemptRecord
from modelrollout.api.status import Colour, ModelRolloutStatus
from modelrollout.api.traffic import HeaderMatch


@dataclass(frozen=True, kw_only=True)
class AddFinalizer:
    """Make deletion wait for us."""


@dataclass(frozen=True, kw_only=True)
class ApplyServices:
    """Services NAME-blue and NAME-green as they should be (NAME belongs to SetTraffic)."""


@dataclass(frozen=True, kw_only=True)
class ApplyWorkload:
    """The Deployment of a colour, once there is a record of what the attempt runs.

    The present spec says what it runs, or with `recorded` the record of that attempt (or its own, once there is one).
    """

    colour: Colour
    attempt: int
    revision: str
    replicas: int
    recorded: int | None = None


@dataclass(frozen=True, kw_only=True)
class ScaleWorkload:
    """Number of pods of a colour, whose template may be older than the present spec."""

    colour: Colour
    replicas: int


@dataclass(frozen=True, kw_only=True)
class HandOver:
    """The workload of spec.workloadRef scaled to 0, with a note on it that says so; nothing if that note is there.

    Only the object with this uid, as long as it is told to have as many pods; the note makes it once, whatever crashes.
    """

    uid: str
    desired: int


@dataclass(frozen=True, kw_only=True)
class Forget:
    """Delete the records of attempts that nobody can go back to any more."""

    attempts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class SetTraffic:
    """The route as it should be: `weight` per cent to `candidate`, the rest to `stable`.

    A candidate with weight 0 is to get nothing that counts, but may be made known to the proxies so that its first
    requests find it; `candidate` is the version before where that one is kept warm. None: the other colour is out.

    The requests of a `cohort` all go to `candidate`, whatever the weight; those that are `excluded` all go to `stable`,
    whatever else they carry.

    With a `token` the write must fail if the routing object has changed since it was seen. `attempt` is the one that is
    stable; the routing object shows it, so that a promotion always changes that object, and a view from before it can
    move nothing any more.
    """

    stable: Colour
    attempt: int
    candidate: Colour | None = None
    weight: int = 0
    cohort: tuple[HeaderMatch, ...] = ()
    excluded: tuple[HeaderMatch, ...] = ()
    token: str | None = None


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """Send the warm-up requests to every ready pod of a colour, off the reconcile path."""

    colour: Colour
    attempt: int


@dataclass(frozen=True, kw_only=True)
class WriteStatus:
    """The status, written under the resourceVersion that the decision was made on.

    Also asked for when it is the same as before: the write is then a fence that fails on a stale view, ahead of effects
    that must not be carried out on one. It must not be skipped.
    """

    status: ModelRolloutStatus


@dataclass(frozen=True, kw_only=True)
class WriteReport:
    """The RolloutReport of an attempt, as its record says; behind a write of the status, which fails on a stale view.

    It comes behind all that serves: what a report is refused for must not delay that. Of the others, those of attempts
    `in_use` stay, and as many more as `spec.revisionHistoryLimit` says.
    """

    record: AttemptRecord
    in_use: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class ApplyBudgets:
    """PodDisruptionBudgets NAME-blue and NAME-green as the spec asks for them, or none.

    They come behind all else: whatever they are refused for concerns neither requests nor pods.
    """


@dataclass(frozen=True, kw_only=True)
class Emit:
    """An event for people."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class AnswerAction:
    """Tell a RolloutAction what became of it; the status that says the same is written by then."""

    uid: str
    name: str
    outcome: ActionOutcome
    message: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Release:
    """Take our ownership off what shall outlive the ModelRollout (Retain), so that the garbage collector leaves it."""

    keep: Colour | None
    """The colour that goes on serving; the other one is deleted. None: everything may go."""


@dataclass(frozen=True, kw_only=True)
class RemoveFinalizer:
    """Let the deletion happen."""


Effect = (
    AddFinalizer
    | ApplyServices
    | ApplyWorkload
    | ScaleWorkload
    | HandOver
    | Forget
    | SetTraffic
    | WarmUp
    | WriteStatus
    | WriteReport
    | ApplyBudgets
    | Emit
    | AnswerAction
    | Release
    | RemoveFinalizer
)


def fence(status: ModelRolloutStatus, effects: Iterable[Effect]) -> list[WriteStatus]:
    """The write of the status that whatever is added to these effects must come behind; none where they have one."""
    return [] if any(isinstance(effect, WriteStatus) for effect in effects) else [WriteStatus(status=status)]


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What to look at until the next decision: the SLOs of this stage, samples counting from `since`.

    `stage` is the index of the stage; on a gradual way back, where there is none, the weight of the step below zero.
    """

    attempt: int
    stage: int
    stable: Colour
    candidate: Colour
    since: datetime
    stable_attempt: int
    stable_since: datetime
    """When stable began to serve: its past, which tells how much its rates vary, goes back to there."""
    name: str = ""
    """Of the stage; empty on the way back."""
    comparable: bool = True
    """Whether the same kind of requests goes to both: those of a cohort are others than everybody's."""
    split: int | None = None
    """Per cent of the requests that the route gives the candidate; None where it does not tell, or not yet."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Effects in their order, when to look again at the latest, and what to watch meanwhile."""

    effects: tuple[Effect, ...] = ()
    wake_at: datetime | None = None
    watch: Watch | None = None
    preflight: bool = False
    """Look for obstacles (gateway, queries, metrics) now and until there are none."""

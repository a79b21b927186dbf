"""The words in conditions, events and `status.lastRevert` by which programs tell one thing from another."""

from enum import StrEnum


class Reason(StrEnum):
    """Why something is as it is, or why it happened."""

    # what a rollout does
    ATTEMPT_STARTED = "AttemptStarted"
    STAGE_ENTERED = "StageEntered"
    PROMOTED = "Promoted"
    ADOPTED = "Adopted"
    RESTORED = "Restored"
    PARKED = "Parked"
    REVERTING = "Reverting"
    REVERTED = "Reverted"
    SERVING = "Serving"
    NO_ROOM = "NoRoom"
    ACTION_APPLIED = "ActionApplied"
    ACTION_REFUSED = "ActionRefused"
    # why a candidate is taken back
    REVERT_REQUESTED = "RevertRequested"
    ABORT_REQUESTED = "AbortRequested"
    KILLED = "Killed"
    SLO_BREACHED = "SLOBreached"
    CANDIDATE_UNAVAILABLE = "CandidateUnavailable"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    STAGE_DEADLINE_EXCEEDED = "StageDeadlineExceeded"
    ABORTED = "Aborted"
    SUPERSEDED = "Superseded"
    DELETED = "Deleted"
    STRATEGY_CHANGED = "StrategyChanged"
    # what it waits for
    WAITING_FOR_PODS = "WaitingForPods"
    WARMING_UP = "WarmingUp"
    PREFLIGHT = "Preflight"
    CONFIGURATION_MISSING = "ConfigurationMissing"
    WAITING_FOR_TRAFFIC = "WaitingForTraffic"
    HOLDING = "Holding"
    UNDECIDED = "Undecided"
    NOT_LOOKED_AT = "NotLookedAt"
    UNDECIDED_AT_DEADLINE = "UndecidedAtDeadline"
    DRAINING = "Draining"
    PAUSED = "Paused"
    PINNED = "Pinned"
    OUTSIDE_WINDOW = "OutsideWindow"
    GOING_BACK = "GoingBack"
    AWAITING_APPROVAL = "AwaitingApproval"
    INCOMPLETE = "Incomplete"
    # what needs a person
    STABLE_UNAVAILABLE = "StableUnavailable"
    STABLE_MISSING = "StableMissing"
    WEIGHT_UNREACHABLE = "WeightUnreachable"
    # nothing to report
    NO_PROBLEM = "NoProblem"
    NO_ATTEMPT = "NoAttempt"

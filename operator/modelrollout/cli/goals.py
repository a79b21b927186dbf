"""Where a ModelRollout can be waited for to be, and when that will not come by itself any more. Pure."""

from collections.abc import Callable
from enum import Enum, auto

from modelrollout.api.rollout import ModelRollout
from modelrollout.api.status import Phase
from modelrollout.cli.outlook import condition, is_observed, is_ready, is_true
from modelrollout.engine.conditions import PROGRESSING, STALLED
from modelrollout.engine.reasons import Reason
from modelrollout.engine.stages import expand


class Answer(Enum):
    """How a ModelRollout stands to a goal."""

    REACHED = auto()
    OPPOSITE = auto()
    NOT_YET = auto()


Goal = Callable[[ModelRollout], Answer]


_AT_REST = (Reason.NO_ATTEMPT, Reason.SERVING)
"""Reasons of Progressing where nothing waits to be tried.

What the pods run can change without the version, and only the operator knows all of it.
"""


def promoted(rollout: ModelRollout) -> Answer:
    """The version of the spec serves. Its opposite: it was taken back, and is not tried again by itself."""
    status, progressing = rollout.status, condition(rollout, PROGRESSING)
    at_rest = status.phase is Phase.IDLE and progressing is not None and progressing.reason in _AT_REST
    serves = at_rest and status.stable is not None and status.stable.version == rollout.spec.model.version
    return _answer(rollout, reached=serves, opposite=_is_stuck(rollout))


def reverted(rollout: ModelRollout) -> Answer:
    """The newest attempt was taken back. Its opposite: it serves."""
    status = rollout.status
    last = status.last_revert
    back = status.candidate is None and last is not None and last.attempt == status.attempt
    return _answer(rollout, reached=back, opposite=promoted(rollout) is Answer.REACHED)


def idle(rollout: ModelRollout) -> Answer:
    """Nothing is under way. Its opposite: a version was taken back, and somebody has to act."""
    return _answer(rollout, reached=rollout.status.phase is Phase.IDLE, opposite=_is_stuck(rollout))


def ready(rollout: ModelRollout) -> Answer:
    """Stable serves and nothing needs a person; there is no opposite."""
    return _answer(rollout, reached=is_ready(rollout), opposite=False)


def in_stage(name: str) -> Goal:
    """The stage is reached, or was. Its opposite: the version was taken back, and is not tried again by itself."""

    def answer(rollout: ModelRollout) -> Answer:
        at, names = rollout.status.stage, [stage.name for stage in expand(rollout.spec)]
        there = at is not None and at.name in names and names.index(at.name) >= names.index(name)
        over = promoted(rollout) is Answer.REACHED
        return _answer(rollout, reached=there or over, opposite=_is_stuck(rollout))

    return answer


GOALS: dict[str, Goal] = {"promoted": promoted, "reverted": reverted, "idle": idle, "ready": ready}


def _answer(rollout: ModelRollout, *, reached: bool, opposite: bool) -> Answer:
    if not is_observed(rollout):
        return Answer.NOT_YET
    return Answer.REACHED if reached else Answer.OPPOSITE if opposite else Answer.NOT_YET


def _is_stuck(rollout: ModelRollout) -> bool:
    return rollout.status.phase is Phase.REVERTED and is_true(rollout, STALLED)

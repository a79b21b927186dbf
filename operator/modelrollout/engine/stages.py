"""Presets expand into stages: where does traffic go, for how long at least, and what if it stays undecided."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from modelrollout.api.quantities import parse_duration
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.strategy import BlueGreen, Canary, OnDeadline, Step
from modelrollout.engine.capacity import is_reachable, skips_unreachable


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage: the candidate's weight in per cent, the least time in it, and its deadline."""

    name: str
    weight: int
    hold: timedelta
    deadline: timedelta | None = None
    on_deadline: OnDeadline = OnDeadline.HOLD


def expand(spec: ModelRolloutSpec) -> tuple[Stage, ...]:
    """The stages that the strategy stands for, in order of ascending weight; the last one has weight 100."""
    if spec.strategy.blue_green:
        return _blue_green(spec.strategy.blue_green)
    return _steps("canary", (spec.strategy.canary or Canary()).steps)


def next_stage(spec: ModelRolloutSpec, after: int) -> int | None:
    """Index of the first stage behind `after` (-1 for the first of all) that is to be entered; None behind the last."""
    for index, stage in enumerate(expand(spec)):
        if index > after and (is_reachable(spec, stage.weight) or not skips_unreachable(spec)):
            return index
    return None


def unreachable_stages(spec: ModelRolloutSpec) -> list[Stage]:
    """Stages whose weight the router cannot reach with this number of replicas."""
    return [stage for stage in expand(spec) if not is_reachable(spec, stage.weight)]


def _blue_green(preset: BlueGreen) -> tuple[Stage, ...]:
    validation = Stage(name="validate", weight=0, hold=parse_duration(preset.validation))
    return (validation, *_steps("switch", preset.steps))


def _steps(prefix: str, steps: Sequence[Step]) -> tuple[Stage, ...]:
    return tuple(
        Stage(
            name=f"{prefix}-{step.weight}",
            weight=step.weight,
            hold=parse_duration(step.hold),
            deadline=parse_duration(step.deadline) if step.deadline else None,
            on_deadline=step.on_deadline,
        )
        for step in steps
    )

"""Presets expand into stages: where does traffic go, for how long at least, and what if it stays undecided."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from modelrollout.api.quantities import parse_duration
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.strategy import (
    BAKE,
    Approval,
    BlueGreen,
    Canary,
    OnDeadline,
    Requirements,
    Ring,
    Step,
    Strategy,
    Timed,
)
from modelrollout.api.traffic import HeaderMatch
from modelrollout.api.window import Window
from modelrollout.engine.capacity import is_reachable, skips_unreachable


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage: the candidate's weight in per cent, the least time in it, and its deadline."""

    name: str
    weight: int
    hold: timedelta
    deadline: timedelta | None = None
    on_deadline: OnDeadline = OnDeadline.HOLD
    window: Window | None = None
    """When it may begin; None: at any time."""
    required_slos: tuple[str, ...] | None = None
    """Names of the SLOs that must pass before it is left; None: all."""
    proof: bool = False
    """Whether the candidate must be proven not to be twice as bad as stable before it is left."""
    approvals: tuple[Approval, ...] = ()
    """Who has to say yes before it is left."""
    checklist: tuple[str, ...] = ()
    """What somebody has to sign off before it is left."""
    match: tuple[HeaderMatch, ...] = ()
    """Whose requests all go to the candidate, whatever the weight."""

    @property
    def has_requests(self) -> bool:
        """Whether the candidate gets any in it."""
        return self.weight > 0 or bool(self.match)

    @property
    def share(self) -> str:
        """What the candidate gets, for people."""
        cohorts = ", ".join(map(str, self.match))
        return f"{self.weight} % of the requests" + (f" and all with {cohorts}" if cohorts else "")


def expand(spec: ModelRolloutSpec) -> tuple[Stage, ...]:
    """The stages that the spec stands for, the bake among them; weights never descend, and the last one is 100."""
    stages = _strategy(spec.strategy)
    if spec.bake is None:
        return stages
    bake = Stage(name=BAKE, weight=100, hold=parse_duration(spec.bake.duration), required_slos=_names(spec.bake.slos))
    return (*stages, bake)


def next_stage(spec: ModelRolloutSpec, after: int, room: int | None = None) -> int | None:
    """Index of the first stage behind `after` (-1 for the first of all) that is to be entered; None behind the last."""
    for index, stage in enumerate(expand(spec)):
        if index > after and (is_reachable(spec, stage.weight, room) or not skips_unreachable(spec)):
            return index
    return None


def serving_stage(spec: ModelRolloutSpec) -> int:
    """Index of the first stage in which the candidate has all requests."""
    return next(index for index, stage in enumerate(expand(spec)) if stage.weight == 100)


def unreachable_stages(spec: ModelRolloutSpec, room: int | None = None) -> list[Stage]:
    """Stages whose weight the router cannot reach with this number of replicas."""
    return [stage for stage in expand(spec) if not is_reachable(spec, stage.weight, room)]


def unknown_stages(spec: ModelRolloutSpec) -> list[tuple[str, str]]:
    """Stages that SLOs name and that there are not, each with the name of the SLO."""
    there = {stage.name for stage in expand(spec)}
    return [(slo.name, stage) for slo in spec.slos for stage in slo.stages or [] if stage not in there]


def _strategy(strategy: Strategy) -> tuple[Stage, ...]:
    if strategy.blue_green:
        return _blue_green(strategy.blue_green)
    if strategy.percentage:
        return _steps("percentage", strategy.percentage.steps)
    if strategy.ring:
        return tuple(_rings(strategy.ring.rings))
    if strategy.stages:
        return tuple(
            replace(_stage(stage.name, stage.traffic.weight, stage), match=tuple(dict.fromkeys(stage.traffic.match)))
            for stage in strategy.stages
        )
    return _steps("canary", (strategy.canary or Canary()).steps)


def _blue_green(preset: BlueGreen) -> tuple[Stage, ...]:
    validation = Stage(name="validate", weight=0, hold=parse_duration(preset.validation))
    return (validation, *_steps("switch", preset.steps))


def _rings(rings: Sequence[Ring]) -> Iterator[Stage]:
    """Who was let in stays in: people do not go back to the old version for a ring that is about others."""
    let_in: dict[HeaderMatch, None] = {}
    for ring in rings:
        let_in |= dict.fromkeys(ring.match)
        yield replace(_stage(ring.name, ring.weight, ring), match=tuple(let_in))


def _steps(prefix: str, steps: Sequence[Step]) -> tuple[Stage, ...]:
    return tuple(_stage(f"{prefix}-{step.weight}", step.weight, step) for step in steps)


def _stage(name: str, weight: int, timed: Timed) -> Stage:
    required = timed.require or Requirements()
    return Stage(
        name=name,
        weight=weight,
        hold=parse_duration(timed.hold),
        deadline=parse_duration(timed.deadline) if timed.deadline else None,
        on_deadline=timed.on_deadline,
        window=timed.window,
        required_slos=_names(required.slos),
        proof=required.proof,
        approvals=tuple(required.approvals),
        checklist=tuple(required.checklist),
    )


def _names(slos: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if slos is None else tuple(slos)

"""Worlds to begin a story with, and what stories look at."""

from datetime import timedelta
from typing import Any

from modelrollout.api.action import ActionOutcome
from modelrollout.api.slo import Verdict
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import Colour, ConditionStatus, Phase
from modelrollout.engine import effects as fx
from unit.engine.simulation import World, make_spec

MINUTE = timedelta(minutes=1)


def serving(spec: ModelRolloutSpec | None = None) -> World:
    """A world in which version 1.0.0 serves."""
    world = World(spec=spec or make_spec())
    world.settle()
    assert world.status.phase is Phase.IDLE
    return world


def in_stage(name: str, **changes: Any) -> World:
    """A world in which version 2.0.0 is on trial and has just reached a stage."""
    world = serving(make_spec(**changes))
    world.change(make_spec("2.0.0", **changes))
    for _ in range(200):
        world.settle()
        if world.status.stage and world.status.stage.name == name and world.status.stage.reached_at:
            return world
        world.now += timedelta(seconds=5)
    raise AssertionError(f"stage {name} was not reached; stuck at {world.status.stage}")


def condition(world: World, kind: str) -> tuple[ConditionStatus, str]:
    found = next(c for c in world.status.conditions if c.type == kind)
    return found.status, found.reason


def reasons(world: World) -> list[str]:
    return [event.reason for event in world.events]


def taking_back(world: World) -> fx.SetTraffic:
    """The one write that takes green, the second attempt, back."""
    route = world.snapshot().route
    stable = world.status.stable
    assert route
    assert stable
    return fx.SetTraffic(
        stable=Colour.BLUE, attempt=stable.attempt, candidate=Colour.GREEN, weight=0, token=route.token
    )


def asked(world: World, action: str, **details: Any) -> tuple[ActionOutcome, str]:
    """Ask, let the operator act, and see what it answers."""
    uid = world.ask(action, **details)
    world.settle()
    (answer,) = (answer for answer in world.answered if answer.uid == uid)
    return answer.outcome, answer.message


def applied(world: World, action: str, **details: Any) -> str:
    outcome, message = asked(world, action, **details)
    assert outcome is ActionOutcome.APPLIED, message
    return message


def refused(world: World, action: str, **details: Any) -> str:
    outcome, message = asked(world, action, **details)
    assert outcome is ActionOutcome.REFUSED, message
    return message


def breach(world: World, *, times: int) -> None:
    """The SLOs are breached so many times more, a second apart."""
    world.verdict = Verdict.BREACH
    for _ in range(times):
        world.now += timedelta(seconds=1)
        world.reconcile()

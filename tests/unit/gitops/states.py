"""ModelRollouts as a GitOps tool may find them: what the engine writes in the simulated cluster."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from modelrollout.api.slo import Verdict
from modelrollout.api.status import Phase
from modelrollout.engine.snapshot import Obstacle
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import MINUTE, in_stage, serving

Object = dict[str, Any]

COMPLETE: Object = {"readyWhen": "Complete"}
HELD: Object = {"slos": [{"name": "errors", "metric": "error-ratio", "limit": "1%", "onBreach": "Hold"}]}


def as_object(world: World) -> Object:
    """The ModelRollout as the API server stores it; before any operator has written, with a default as its status."""
    spoken = world.status_version > 1
    return {
        "apiVersion": "modelrollout.io/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": "scorer", "namespace": "ml", "uid": "uid-1", "generation": world.generation},
        "spec": world.spec.to_wire(),
        "status": world.status.to_wire() if spoken else {"observedGeneration": -1},
    }


def story(spec: Object, *, verdict: Verdict) -> Iterator[Object]:
    """Every state of a ModelRollout from its making to the end of its second version."""
    world = World(spec=make_spec(**spec))
    for version in ("1.0.0", "2.0.0"):
        world.change(make_spec(version, **spec))
        yield as_object(world)
        for _ in range(100):
            world.reconcile()
            world.pods_follow()
            world.verdict = verdict
            yield as_object(world)
            world.now += timedelta(seconds=5)


def new() -> World:
    return World(spec=make_spec())


def coming_up(**spec: Any) -> World:
    world = World(spec=make_spec(**spec))
    world.reconcile()
    world.reconcile()
    return world


def never_came_up() -> World:
    world = World(spec=make_spec(progressDeadline="5m"))
    for _ in range(80):
        world.reconcile()
        world.now += timedelta(seconds=5)
    assert world.status.phase is Phase.REVERTED
    return world


def serves(**spec: Any) -> World:
    return serving(make_spec(**spec))


def changed_since() -> World:
    world = serving()
    world.change(make_spec("2.0.0"))
    return world


def preparing(**spec: Any) -> World:
    world = serving(make_spec(**spec))
    world.change(make_spec("2.0.0", **spec))
    world.reconcile()
    assert world.status.phase is Phase.PREPARING
    return world


def blocked() -> World:
    world = preparing()
    world.obstacles = (Obstacle(condition="RouteReady", reason="GatewayMissing", message="no Gateway public"),)
    world.settle()
    return world


def staged(**spec: Any) -> World:
    return in_stage("canary-10", **spec)


def undecided(**spec: Any) -> World:
    return _later(in_stage("canary-10", **spec), Verdict.INCONCLUSIVE)


def paused(**spec: Any) -> World:
    world = in_stage("canary-10", **spec)
    world.change(make_spec("2.0.0", paused=True, **spec))
    world.settle()
    return world


def paused_before_the_start(**spec: Any) -> World:
    world = serving(make_spec(**spec))
    world.change(make_spec("2.0.0", paused=True, **spec))
    world.settle()
    return world


def never_started() -> World:
    world = World(spec=make_spec(paused=True))
    world.settle()
    return world


def awaiting_approval(**spec: Any) -> World:
    gated = {"weight": 10, "hold": "1m", "require": {"approvals": [{"role": "security"}]}}
    world = in_stage("canary-10", strategy={"canary": {"steps": [gated, {"weight": 100}]}}, **spec)
    return _later(world, Verdict.PASS, seconds=120)


def paused_by_somebody(**spec: Any) -> World:
    return _asked(in_stage("canary-10", **spec), "Pause")


def going_back_by_steps() -> World:
    world = in_stage("canary-100", rollback={"mode": "Gradual"})
    _asked(world, "Abort")
    assert world.status.way_back
    return world


def killed() -> World:
    world = in_stage("canary-10")
    world.ask("Kill")
    world.run_for(MINUTE)
    return world


def killed_with_a_new_version_waiting() -> World:
    world = serving()
    world.ask("Kill")
    world.settle()
    world.change(make_spec("2.0.0"))
    world.settle()
    return world


def breached_and_held() -> World:
    return _later(in_stage("canary-10", **HELD), Verdict.BREACH, seconds=10)


def draining(**spec: Any) -> World:
    world = _later(in_stage("canary-10", **spec), Verdict.BREACH, seconds=2)
    assert world.status.phase is Phase.REVERTING
    return world


def reverted(**spec: Any) -> World:
    world = _later(in_stage("canary-10", **spec), Verdict.BREACH)
    assert world.status.phase is Phase.REVERTED
    return world


def reverted_and_due_again(**spec: Any) -> World:
    return reverted(retry={"limit": 1, "after": "1h"}, **spec)


def reverted_by_git() -> World:
    world = in_stage("canary-50")
    world.change(make_spec("1.0.0"))
    world.run_for(MINUTE)
    return world


def promoted(**spec: Any) -> World:
    world = _later(in_stage("canary-100", **spec), Verdict.PASS, seconds=120)
    assert world.status.phase is Phase.IDLE
    return world


def down() -> World:
    world = serving()
    for colour in world.workloads:
        world.pods_ready(colour, 0)
    world.reconcile()
    return world


def _asked(world: World, action: str) -> World:
    world.ask(action)
    world.settle()
    return world


def _later(world: World, verdict: Verdict, *, seconds: int = 60) -> World:
    world.verdict = verdict
    world.run_for(timedelta(seconds=seconds), step=timedelta(seconds=1))
    return world


STATES: dict[str, tuple[Callable[[], World], str, str]] = {
    # what it is: the world, what kstatus says, what Argo CD says
    "seen by no operator": (new, "InProgress", "Progressing"),
    "first version coming up": (coming_up, "InProgress", "Progressing"),
    "first version paused": (never_started, "InProgress", "Suspended"),
    "first version never came up": (never_came_up, "Failed", "Degraded"),
    "serving": (serves, "Current", "Healthy"),
    "serving, with nobody ready": (down, "InProgress", "Degraded"),
    "changed a moment ago": (changed_since, "InProgress", "Progressing"),
    "new version coming up": (preparing, "Current", "Healthy"),
    "no Gateway": (blocked, "InProgress", "Degraded"),
    "in a stage": (staged, "Current", "Healthy"),
    "undecided": (undecided, "Current", "Healthy"),
    "paused in a stage": (paused, "Current", "Healthy"),
    "paused before the start": (paused_before_the_start, "Current", "Healthy"),
    "paused by somebody": (paused_by_somebody, "Current", "Healthy"),
    "awaiting approval": (awaiting_approval, "InProgress", "Suspended"),
    "held by a breach": (breached_and_held, "InProgress", "Degraded"),
    "going back by steps": (going_back_by_steps, "Current", "Healthy"),
    "killed": (killed, "Failed", "Degraded"),
    "killed, with a new version waiting": (killed_with_a_new_version_waiting, "InProgress", "Suspended"),
    "leaving after a breach": (draining, "Current", "Healthy"),
    "taken back": (reverted, "Failed", "Degraded"),
    "taken back, due again": (reverted_and_due_again, "Current", "Healthy"),
    "taken back from Git": (reverted_by_git, "Current", "Healthy"),
    "promoted": (promoted, "Current", "Healthy"),
    "Complete: first version coming up": (lambda: coming_up(**COMPLETE), "InProgress", "Progressing"),
    "Complete: serving": (lambda: serves(**COMPLETE), "Current", "Healthy"),
    "Complete: new version coming up": (lambda: preparing(**COMPLETE), "InProgress", "Progressing"),
    "Complete: in a stage": (lambda: staged(**COMPLETE), "InProgress", "Progressing"),
    "Complete: undecided": (lambda: undecided(**COMPLETE), "InProgress", "Progressing"),
    "Complete: paused in a stage": (lambda: paused(**COMPLETE), "InProgress", "Suspended"),
    "Complete: paused by somebody": (lambda: paused_by_somebody(**COMPLETE), "InProgress", "Suspended"),
    "Complete: awaiting approval": (lambda: awaiting_approval(**COMPLETE), "InProgress", "Suspended"),
    "Complete: paused before the start": (lambda: paused_before_the_start(**COMPLETE), "InProgress", "Suspended"),
    "Complete: leaving after a breach": (lambda: draining(**COMPLETE), "InProgress", "Progressing"),
    "Complete: taken back": (lambda: reverted(**COMPLETE), "Failed", "Degraded"),
    "Complete: taken back, due again": (lambda: reverted_and_due_again(**COMPLETE), "InProgress", "Progressing"),
    "Complete: promoted": (lambda: promoted(**COMPLETE), "Current", "Healthy"),
}

"""What is legal but unwise in a ModelRollout. Pure."""

from collections.abc import Iterator
from datetime import timedelta

from modelrollout.api.quantities import parse_duration
from modelrollout.api.rollout import ModelRollout
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.cli.structure import Complaint
from modelrollout.cli.times import written
from modelrollout.engine.capacity import reachable_weights, skips_unreachable
from modelrollout.engine.stages import expand, unreachable_stages

_SCRAPE = timedelta(seconds=30)
"""A usual scrape interval; a stage that is over before says nothing."""


def advice(rollout: ModelRollout) -> Iterator[Complaint]:
    """What somebody who has seen rollouts go wrong would say of this one."""
    spec = rollout.spec
    yield from _about_slos(spec)
    yield from _about_holds(spec)
    yield from _about_reach(spec)
    if not parse_duration(spec.rollback.keep_warm):
        yield Complaint(
            "spec.rollback.keepWarm",
            "the version before is gone as soon as another one is promoted: going back then takes a new rollout; 1h is "
            "the default",
        )


def _about_slos(spec: ModelRolloutSpec) -> Iterator[Complaint]:
    if not spec.slos:
        yield Complaint("spec.slos", "there are none, so only pods that are not ready take a version back; add one")
        if spec.bake:
            yield Complaint("spec.bake", "without SLOs nothing is judged while it bakes; add one to spec.slos")
    elif spec.bake and spec.bake.slos == []:
        yield Complaint("spec.bake.slos", "an empty list asks for none: the bake ends when its time is over")


def _about_holds(spec: ModelRolloutSpec) -> Iterator[Complaint]:
    short = [stage for stage in expand(spec) if stage.weight and stage.hold < _SCRAPE]
    if spec.slos and short:
        named = ", ".join(f"{stage.name} ({written(stage.hold)})" for stage in short)
        yield Complaint(
            "spec.strategy",
            f"held for less than Prometheus usually takes between two scrapes ({written(_SCRAPE)}), so the SLOs see "
            f"little: {named}",
        )


def _about_reach(spec: ModelRolloutSpec) -> Iterator[Complaint]:
    unreachable = unreachable_stages(spec)
    if not unreachable:
        return
    named = ", ".join(stage.name for stage in unreachable)
    smallest = f"{spec.replicas} pods reach {reachable_weights(spec)[0]:g} % at least"
    if skips_unreachable(spec):
        message = f"left out, because {smallest}: {named}; raise replicas, or route with gatewayAPI"
    else:
        message = f"the rollout will not start, because {smallest}: {named}; raise replicas, or set unreachable to Skip"
    yield Complaint("spec.traffic.replicas", message)

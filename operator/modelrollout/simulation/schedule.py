"""What a rollout is scheduled to do: its stages as they are entered, and when they are looked at."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from modelrollout.api.slo import OnBreach, Slo
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.engine.capacity import is_reachable, reachable_weight, skips_unreachable
from modelrollout.engine.stages import Stage, expand

LOOK = 5
"""Seconds between two looks: a usual interval of scrapes early in a stage."""

CLOSELY = 300
"""For so many seconds a stage is looked at as often as that; after that, once a minute."""

_MINUTE = 60


@dataclass(frozen=True, kw_only=True)
class Leg:
    """A stage with the share of the requests that the candidate gets in it."""

    stage: Stage
    share: float

    @property
    def seconds(self) -> int:
        """Its hold, in whole seconds."""
        return round(self.stage.hold.total_seconds())


def legs(spec: ModelRolloutSpec) -> list[Leg]:
    """The stages that are entered, in order; ValueError names one that the router cannot reach and must."""
    found = []
    for stage in expand(spec):
        if is_reachable(spec, stage.weight):
            found.append(Leg(stage=stage, share=reachable_weight(spec, stage.weight) / 100))
        elif not skips_unreachable(spec):
            raise ValueError(f"{spec.replicas} pods cannot reach stage {stage.name}")
    return found


def judging(slos: Iterable[Slo]) -> list[Slo]:
    """The SLOs that can be simulated and decide something: counts that may take the candidate back, or hold it."""
    return [slo for slo in slos if slo.counts and slo.on_breach is not OnBreach.NOTIFY and not slo.dry_run]


def scheduled_seconds(planned: Iterable[Leg]) -> int:
    """The holds in all."""
    return sum(leg.seconds for leg in planned)


def looks(seconds: int, *, closely: bool) -> Iterator[tuple[int, int]]:
    """The looks at so long a stretch: when each is, and how many seconds after the one before.

    Evidence is looked at every few seconds at first. A plain limit is as good as what it sees: `closely` to the end.
    """
    ends = [*range(0, min(seconds, seconds if closely else CLOSELY), LOOK)]
    if not closely:
        ends += range(CLOSELY, seconds, _MINUTE)
    yield from ((end, end - begin) for begin, end in pairwise([*ends, seconds]))

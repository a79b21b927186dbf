"""How long a healthy candidate takes through a whole rollout, where the engine's rules say who waits."""

from figures.simulation import SLO
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.simulation.answers import Promotion, promotion_of
from modelrollout.simulation.requests import Rate
from modelrollout.simulation.schedule import legs, scheduled_seconds
from modelrollout.simulation.trials import tried

SPEC = ModelRolloutSpec.model_validate(
    {"model": {"version": "2.0.0"}, "traffic": {"gatewayAPI": {"parentRefs": [{"name": "public"}]}}}
)
"""A canary that says nothing else."""


def promoted(*, per_second: float, base: float, runs: int, seed: int) -> tuple[float, Promotion]:
    """The minutes of all holds, and when candidates that are as good as stable are promoted."""
    planned = legs(SPEC)
    ended = tried(planned, [SLO], {SLO.name: Rate(base=base)}, per_second=per_second, runs=runs, seed=seed)
    return scheduled_seconds(planned) / 60, promotion_of(ended.promoted)

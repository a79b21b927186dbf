"""Whatever the operator can write can be shown, and answered for."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant

from modelrollout.api.rollout import ModelRollout
from modelrollout.cli.get import table
from modelrollout.cli.goals import GOALS, Answer
from modelrollout.cli.screen import at_a_glance
from unit.cli.test_screen import rendered
from unit.engine.test_invariants import RolloutMachine


class ShownMachine(RolloutMachine):
    """A rollout in a random world, looked at after each step."""

    def _rollout(self) -> ModelRollout:
        created = self.world.now.isoformat()
        metadata = {"name": "scorer", "namespace": "ml", "generation": 1, "creationTimestamp": created}
        stored = {"spec": self.world.spec.to_wire(), "status": self.world.status.to_wire(), "metadata": metadata}
        return ModelRollout.model_validate(stored)

    @invariant()
    def can_be_shown(self) -> None:
        rollout = self._rollout()
        assert rollout.status.phase in rendered(at_a_glance(rollout, self.world.now))
        assert rollout.metadata["name"] in rendered(table([rollout], self.world.now, with_namespace=True))

    @invariant()
    def can_be_waited_for(self) -> None:
        rollout = self._rollout()
        answers = {name: goal(rollout) for name, goal in GOALS.items()}
        if answers["promoted"] is Answer.REACHED:
            assert answers["idle"] is Answer.REACHED
            assert rollout.status.candidate is None
        if answers["promoted"] is Answer.OPPOSITE:
            assert answers["idle"] is not Answer.REACHED


TestShown = ShownMachine.TestCase
TestShown.settings = settings(
    max_examples=10, stateful_step_count=20, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)

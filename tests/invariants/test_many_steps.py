"""The invariants of the engine over 100,000 random steps; tests/unit holds them over a few thousand."""

import os

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from unit.engine.test_invariants import RolloutMachine

PARTS = 8
"""Of the whole, for as many processors as there are."""
EXAMPLES, STEPS = 180, 100
"""Of each part; not every example gets to its last step."""


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS))
def test_the_invariants_hold(part: int) -> None:
    class Counting(RolloutMachine):
        taken = 0

        @invariant()
        def it_holds(self) -> None:
            Counting.taken += 1
            super().it_holds()

    # The gate takes the same steps each time; everybody else takes new ones.
    machine = seed(part)(Counting) if "CI" in os.environ else Counting
    wanted = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=False,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(machine, settings=wanted)
    assert Counting.taken * PARTS >= 100_000

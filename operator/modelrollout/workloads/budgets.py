"""The PodDisruptionBudgets NAME-blue and NAME-green: what evictions leave of a colour, where the spec asks for them."""

from modelrollout.api.labels import COLOUR, colour_name, serving_selector
from modelrollout.api.objects import Live, Manifest, Objects
from modelrollout.api.owner import Rollout
from modelrollout.api.status import Colour

_KIND = "PodDisruptionBudget"


def render(rollout: Rollout) -> list[Manifest]:
    """Both budgets, also that of a colour without pods; none where the spec does not ask for them."""
    budget = rollout.spec.disruption_budget
    if budget is None:
        return []
    return [
        rollout.manifest(
            "policy/v1",
            _KIND,
            colour_name(rollout.name, colour),
            labels={COLOUR: colour.value},
            spec={
                "selector": {"matchLabels": serving_selector(rollout.name, colour)},
                # Of a pod that is not ready nobody gets an answer. A model that never loads would keep its node from
                # being drained for ever, as long as the budget waited for it to be ready first.
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
                **budget.to_wire(),
            },
        )
        for colour in Colour
    ]


def leftovers(rollout: Rollout, objects: Objects) -> list[Live]:
    """Budgets that the spec does not ask for any more."""
    if rollout.spec.disruption_budget:
        return []
    names = (colour_name(rollout.name, colour) for colour in Colour)
    found = (objects.get(_KIND, rollout.namespace, name) for name in names)
    return [budget for budget in found if budget]

"""The Services NAME-blue and NAME-green: each colour under a name of its own, for routes, metrics and checks."""

from modelrollout.api.labels import COLOUR, colour_name
from modelrollout.api.objects import Manifest
from modelrollout.api.owner import Rollout
from modelrollout.api.status import Colour


def render(rollout: Rollout) -> list[Manifest]:
    """Both Services, also that of a colour without pods: a proxy answers 500 for a backend that does not exist."""
    return [
        rollout.service(colour_name(rollout.name, colour), selects=colour, labels={COLOUR: colour.value})
        for colour in Colour
    ]

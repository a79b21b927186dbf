"""The router that needs nothing installed: one Service, whose requests spread over all ready pods that it selects."""

from collections.abc import Mapping

from modelrollout.api.labels import ATTEMPT, COLOUR, attempt_of
from modelrollout.api.manifests import fence_of, fenced
from modelrollout.api.objects import Live, Manifest, Objects
from modelrollout.api.owner import Rollout
from modelrollout.api.status import Colour
from modelrollout.engine.capacity import share
from modelrollout.engine.effects import SetTraffic
from modelrollout.engine.snapshot import Obstacle, Route, Workload


class Replicas:
    """Weights by numbers of ready pods: the Service NAME selects both colours in a stage, else the one that serves."""

    def render(self, rollout: Rollout, traffic: SetTraffic) -> list[Manifest]:
        """The Service NAME, selecting stable, both colours, or the candidate."""
        labels = {ATTEMPT: str(traffic.attempt)}
        return [fenced(rollout.service(rollout.name, selects=_selected(traffic), labels=labels), traffic.token)]

    def observe(self, rollout: Rollout, objects: Objects, workloads: Mapping[Colour, Workload]) -> Route | None:
        """All to the selected colour, or as the ready pods of both divide them; nothing to either if none is ready."""
        service = objects.get("Service", rollout.namespace, rollout.name)
        if service is None:
            return None
        selector = service["spec"].get("selector") or {}
        selected = [colour for colour in Colour if selector.get(COLOUR, colour) == colour]
        return Route(shares=_shares(selected, workloads), attempt=attempt_of(service), token=fence_of(service))

    def obstacles(self, rollout: Rollout, objects: Objects) -> tuple[Obstacle, ...]:  # noqa: ARG002
        """None: a Service needs nobody else."""
        return ()

    def controllers(self, rollout: Rollout, objects: Objects) -> frozenset[str]:  # noqa: ARG002
        """None: no proxy is in between."""
        return frozenset()

    def leftovers(self, rollout: Rollout, objects: Objects) -> list[Live]:
        """The HTTPRoute: nobody moves its weights any more, and the next promotion would leave it without pods."""
        route = objects.get("HTTPRoute", rollout.namespace, rollout.name)
        return [route] if route else []


def _selected(traffic: SetTraffic) -> Colour | None:
    """The colour that gets everything; None for both."""
    if traffic.candidate is None or traffic.weight == 0:
        return traffic.stable
    return traffic.candidate if traffic.weight == 100 else None


def _shares(selected: list[Colour], workloads: Mapping[Colour, Workload]) -> dict[Colour, float]:
    if len(selected) == 1:
        return {colour: 100.0 if colour in selected else 0.0 for colour in Colour}
    ready = {colour: workloads[colour].ready if colour in workloads else 0 for colour in Colour}
    return {colour: share(candidate=ready[colour], stable=ready[colour.other]) for colour in Colour}

"""What every router can do, and which one a spec asks for."""

from collections.abc import Mapping
from typing import Protocol

from modelrollout.api.objects import Live, Manifest, Objects
from modelrollout.api.owner import Rollout
from modelrollout.api.spec import ModelRolloutSpec
from modelrollout.api.status import Colour
from modelrollout.engine.effects import SetTraffic
from modelrollout.engine.snapshot import Obstacle, Route, Workload
from modelrollout.traffic.gateway_api import GatewayApi
from modelrollout.traffic.replicas import Replicas


class Router(Protocol):
    """Splits the requests between the two colours. Pure: it renders and reads objects, the controller moves them."""

    def render(self, rollout: Rollout, traffic: SetTraffic) -> list[Manifest]:
        """The objects that split the requests so, in the order to write them: the one that moves traffic comes first.

        That one carries the token of `traffic` as its fence, so that a write on a stale view is refused, and
        the stable attempt as a label, so that views from before a promotion are stale.
        """

    def observe(self, rollout: Rollout, objects: Objects, workloads: Mapping[Colour, Workload]) -> Route | None:
        """What the objects do with the requests now; None before they exist.

        A colour with a share of 0 may still be admitted: with no ready pod it gets nothing, until it has one. Whether
        the route has to be written is for `covers` to say, not for the shares.
        """

    def obstacles(self, rollout: Rollout, objects: Objects) -> tuple[Obstacle, ...]:
        """What keeps the route from working that a person has to mend, looked at before any traffic moves."""

    def controllers(self, rollout: Rollout, objects: Objects) -> frozenset[str]:
        """Names of the controllers whose proxies split the requests, as far as they are known."""

    def leftovers(self, rollout: Rollout, objects: Objects) -> list[Live]:
        """Objects of the router that the spec named before, to be deleted once this one has the requests."""


def router_for(spec: ModelRolloutSpec) -> Router:
    """The router that the spec names; without any it is `replicas`."""
    return GatewayApi() if spec.traffic.gateway_api else Replicas()

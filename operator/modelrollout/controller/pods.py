"""The pods of one version, for whoever scrapes them: listed anew only when the Deployment tells of a change.

The operator watches no pods that run: in a large cluster that would be most of what there is to hear.
"""

from collections.abc import Hashable, Sequence

from modelrollout.api.labels import ATTEMPT, COLOUR, NAME, colour_name
from modelrollout.api.objects import Live
from modelrollout.controller.client import ApiError, KubeApi
from modelrollout.controller.informers import Informers
from modelrollout.controller.kinds import DEPLOYMENTS, PODS
from modelrollout.metrics.prometheus import Unavailable
from modelrollout.metrics.templates import Arm


class ListedPods:
    """See `metrics.scrapes.Pods`."""

    def __init__(self, api: KubeApi, informers: Informers) -> None:
        self._api = api
        self._informers = informers

    def state(self, arm: Arm) -> Hashable:
        """The state of the Deployment, whose status follows every pod that comes, gets ready, or goes."""
        name = colour_name(arm.rollout, arm.colour)
        deployment = self._informers.get(DEPLOYMENTS.kind, arm.namespace, name)
        return deployment["metadata"]["resourceVersion"] if deployment else None

    async def of(self, arm: Arm) -> Sequence[Live] | Unavailable:
        """The pods by their labels."""
        labels = {NAME: arm.rollout, COLOUR: arm.colour.value, ATTEMPT: str(arm.attempt)}
        selector = ",".join(f"{label}={value}" for label, value in labels.items())
        try:
            pages = self._api.pages(PODS, namespace=arm.namespace, selector=selector)
            return [pod async for page in pages for pod in page.items]
        except ApiError as error:
            return Unavailable(f"the pods cannot be listed: {error}")

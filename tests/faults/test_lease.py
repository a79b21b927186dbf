"""The operator that leads loses its Lease in the middle of a rollout; whoever leads next brings it to its end."""

import asyncio
from datetime import UTC, datetime

import pytest
from kubernetes.client import CoordinationV1Api

from faults.injection import ArrivingLate, Concerns, FromThenOn, Instead, Moment, Once, Point, break_down, renewals
from faults.sampling import some
from faults.scene import LEASE_SECONDS, Ground, Scene
from faults.stories import GRADUAL, PROMOTED, REVERTED, SUPERSEDED, Story, named
from faults.telling import PATIENCE, look_back, set_up, tell
from stack.operator_process import eventually
from support.api_proxy import Answer, Forward, Request

LEASE = "modelrollout"
MIDDLE = Point("PUT modelrollouts/scorer/status", 4, Moment.BEFORE)
STORIES = (PROMOTED, REVERTED, GRADUAL, SUPERSEDED)


def everything(request: Request) -> bool:
    """All writes, those of the Lease and of events among them."""
    return request.is_write


@pytest.mark.parametrize("story", some(STORIES, 2), ids=named)
def test_somebody_else_takes_it_while_a_write_is_on_its_way(ground: Ground, story: Story) -> None:
    with set_up(ground, story, leased=True) as scene:

        async def lose_lease_first(forward: Forward) -> Answer:
            await asyncio.to_thread(take_lease, scene)
            return await forward()

        loss = Once(MIDDLE, lose_lease_first)
        tell(scene, story, loss)
        assert loss.happened.wait(PATIENCE)
        eventually(lambda: scene.operator.ended_by_themselves, "the end of the one that led", seconds=PATIENCE)
        told = look_back(scene, story, may_end_by_itself=True)
    ground.tally.add("Lease taken away")
    assert not told.complaints


@pytest.mark.parametrize(
    ("instead", "concerns"),
    [(break_down, renewals), (ArrivingLate(LEASE_SECONDS + 1), everything)],
    ids=["renewals are refused", "writes arrive when another leads"],
)
@pytest.mark.parametrize("story", some(STORIES, 2), ids=named)
def test_it_cannot_be_renewed(ground: Ground, story: Story, instead: Instead, concerns: Concerns) -> None:
    with (
        set_up(ground, story, leased=True) as scene,
        ground.proxies.proxy() as proxy,
        ground.beside(scene, proxy, leased=True) as other,
    ):
        other.wait_until_ready()
        fault = FromThenOn(MIDDLE, instead, concerns)
        tell(scene, story, fault)
        eventually(lambda: scene.operator.ended_by_themselves, "the end of the one that led", seconds=PATIENCE)
        fault.over.set()
        told = look_back(scene, story, may_end_by_itself=True)
        assert [write for write in proxy.writes if "leases" not in write], "the other one did the rest"
    ground.tally.add("Lease not renewed")
    assert not told.complaints


def take_lease(scene: Scene) -> None:
    """Somebody who will never renew it holds it from now on."""
    leases = CoordinationV1Api(scene.client)
    spec = {"holderIdentity": "somebody-else", "renewTime": datetime.now(UTC).isoformat(timespec="microseconds")}
    leases.patch_namespaced_lease(LEASE, scene.rollout.namespace, {"spec": spec})

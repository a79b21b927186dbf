"""The API server or its store is killed and started again, whatever rollouts are in the middle of."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from faults.injection import Crash, Moment, Point
from faults.meddler import LABEL, Meddler
from faults.sampling import some
from faults.scene import ERRORS, NAME, Ground, Scene
from faults.stories import ASKED, GOING_BACK, QUIET, REVERTED, Story, begin_stage
from faults.telling import PATIENCE, look_back, set_up, tell
from support.recorder import DEPLOYMENTS, ROLLOUTS, ROUTES
from support.watching import Resource


def _begin_to_go_back(scene: Scene) -> None:
    GOING_BACK.tell(scene)
    scene.wait_for(lambda status: status.get("wayBack", {}).get("weight") == 50, "the first step back")


IN_STAGE = replace(ASKED, name="in stage", tell=begin_stage)
"""Somebody asks to promote once the API server is back."""
BREACHED = replace(REVERTED, name="breached", tell=begin_stage)
"""The one of whose way back, which is one write of the route, the API server dies."""
STORIES = (QUIET, IN_STAGE, replace(GOING_BACK, tell=_begin_to_go_back), BREACHED)
WAY_BACK = f"PATCH httproutes/{NAME}"
CASES = [
    ("kube-apiserver", Moment.BEFORE),
    ("etcd", Moment.AFTER),
    ("kube-apiserver", Moment.AFTER),
    ("etcd", Moment.BEFORE),
]


@pytest.mark.parametrize(("component", "moment"), some(CASES, 2))
def test_what_was_under_way_ends_as_if_nothing_had_happened(
    whole_ground: Ground, component: str, moment: Moment
) -> None:
    crash = Crash(Point(WAY_BACK, 1, moment), lambda: whole_ground.restart(component))
    in_the_middle = threading.Barrier(len(STORIES))

    def run(story: Story) -> list[str]:
        with set_up(whole_ground, story) as scene:
            tell(scene, story)
            in_the_middle.wait(PATIENCE)
            before = _written(scene)
            if story is BREACHED:
                scene.proxy.fault = crash
                scene.measure(ERRORS, 1)
            assert crash.happened.wait(PATIENCE), scene.status()
            if story is IN_STAGE:
                _wait_until_watched_again(scene)
                scene.ask("Promote")
            # An event is lost with the answer to the write that it is about.
            said = look_back(scene, story).complaints
            if story is QUIET and _written(scene) != before:
                said.append(f"written although nothing happened: {_written(scene) - before}")
        return [f"{story.name}: {one}" for one in said]

    with ThreadPoolExecutor(len(STORIES)) as pool:
        said = [one for these in pool.map(run, STORIES) for one in these]
    whole_ground.tally.add(f"{component} restarted")
    assert not said, "\n".join(said)


def _written(scene: Scene) -> set[tuple[int, str]]:
    """Every state that there has been of anything."""
    return {(state.version, state.name) for state in scene.trail.states()}


def _wait_until_watched_again(scene: Scene) -> None:
    """After a restart of the API server a watch begins with what there is by then; what was in between is not told."""
    value = Meddler(scene.client, scene.rollout.namespace).touch()

    def is_seen(resource: Resource) -> bool:
        labels = (one["metadata"].get("labels", {}) for one in scene.trail.objects(resource).values())
        return any(found.get(LABEL) == value for found in labels)

    assert scene.trail.wait(lambda: all(map(is_seen, (ROLLOUTS, ROUTES, DEPLOYMENTS))), seconds=PATIENCE)

"""The API server answers badly, late, or not at all; what is written in the end is the same."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

import pytest
from kubernetes.client import ApiClient, ApiException, CustomObjectsApi

from faults.injection import (
    Concerns,
    Instead,
    Sometimes,
    be_unavailable,
    break_down,
    conflict,
    fenced_writes,
    lose_answer,
    take_long,
    throttle,
    writes,
)
from faults.scene import NAME, Ground, Scene
from faults.stories import ABORTED, DELETED, PROMOTED, REVERTED, SUPERSEDED, Story
from faults.telling import look_back, set_up, tell
from stack.operator_process import eventually
from support.api_proxy import Answer, status_answer
from support.recorder import ROLLOUTS, ROUTES
from support.watching import Object, Resource

GONE = {
    "type": "ERROR",
    "object": {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": "Expired",
        "code": 410,
        "message": "",
    },
}
STORM_SECONDS = 20


@pytest.mark.parametrize(
    ("instead", "concerns", "share"),
    [
        (lose_answer, writes, 0.4),
        (conflict, fenced_writes, 0.6),
        (throttle, writes, 0.4),
        (break_down, writes, 0.4),
        (be_unavailable, writes, 0.4),
        (take_long, writes, 0.3),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_whatever_it_answers_to_a_share_of_the_writes(
    ground: Ground, instead: Instead, concerns: Concerns, share: float
) -> None:
    def run(story: Story, seed: int) -> list[str]:
        fault = Sometimes(share, seed, instead, concerns)
        with set_up(ground, story) as scene:
            tell(scene, story, fault)
            told = look_back(scene, story)
        # What was written down without an answer is seen as done by the next look, and told by nobody.
        missing = [] if instead is lose_answer else [f"nobody was told of {one}" for one in told.missing_events]
        rare = [f"it happened {fault.times} times only"] if fault.times < 2 else []
        return [*told.complaints, *missing, *rare]

    stories = (PROMOTED, REVERTED, ABORTED, DELETED)
    with ThreadPoolExecutor(len(stories)) as pool:
        assert not _said(stories, pool.map(run, stories, count(1)))


def test_watches_that_are_cut_again_and_again(ground: Ground) -> None:
    def run(story: Story) -> list[str]:
        with set_up(ground, story) as scene, _again_and_again(lambda: _cut(scene), every=0.7):
            tell(scene, story)
            told = look_back(scene, story)
        assert scene.proxy.cuts >= 10
        return [*told.complaints, *told.missing_events]

    stories = (PROMOTED, REVERTED, ABORTED)
    with ThreadPoolExecutor(len(stories)) as pool:
        assert not _said(stories, pool.map(run, stories))


@pytest.mark.parametrize("farewell", [None, GONE], ids=["cut", "gone"])
def test_what_changes_while_nothing_can_be_watched_is_seen_once_it_can(ground: Ground, farewell: Object | None) -> None:
    with set_up(ground, PROMOTED) as scene:
        _change_unseen(scene, farewell, status_answer(503, "ServiceUnavailable"))
        told = look_back(scene, PROMOTED)
    assert not told.complaints
    assert not told.missing_events


def test_a_watch_that_is_gone_before_it_begins_ends_the_process_and_the_next_one_goes_on(ground: Ground) -> None:
    """API servers say `410 Gone` in the stream; what says it in the status of the answer ends kopf's watches."""
    with set_up(ground, PROMOTED) as scene:
        _change_unseen(scene, None, status_answer(410, "Expired"))
        told = look_back(scene, PROMOTED)
        assert scene.operator.ended_by_themselves
    assert all(complaint.startswith("an operator ended by itself") for complaint in told.complaints)
    assert not told.missing_events


def _change_unseen(scene: Scene, farewell: Object | None, refusal: Answer) -> None:
    """Ask for another version while no watch can be kept."""
    scene.proxy.refuse_watches = refusal
    assert scene.proxy.cut_watches(farewell) >= 4
    tell(scene, PROMOTED)
    eventually(lambda: scene.proxy.refused_watches >= 4, "watches that are refused")
    scene.proxy.refuse_watches = None


def test_somebody_else_writes_everything_all_the_time(ground: Ground) -> None:
    def run(story: Story) -> list[str]:
        with set_up(ground, story) as scene:
            until = time.monotonic() + STORM_SECONDS
            with _again_and_again(lambda: _touch(scene), every=0.02):
                tell(scene, story)
                told = look_back(scene, story)
                _wait_until(until)
            conflicts = scene.proxy.answers[409]
            told = look_back(scene, story)
        assert conflicts, "nobody came too late"
        return [*told.complaints, *told.missing_events]

    stories = (PROMOTED, REVERTED, SUPERSEDED)
    with ThreadPoolExecutor(len(stories)) as pool:
        assert not _said(stories, pool.map(run, stories))


def _cut(scene: Scene) -> None:
    """Every other time the API server says that what was watched from is gone."""
    scene.proxy.cut_watches(GONE if scene.proxy.cuts // 5 % 2 else None)


def _touch(scene: Scene) -> None:
    """Change the rollout and its route in a way that means nothing to anybody."""
    for resource in (ROLLOUTS, ROUTES):
        _annotate(scene.client, scene.rollout.namespace, resource)


def _annotate(client: ApiClient, namespace: str, resource: Resource) -> None:
    group, version, plural = resource
    changes = {"metadata": {"annotations": {"example.com/touched": str(time.monotonic_ns())}}}
    try:
        CustomObjectsApi(client).patch_namespaced_custom_object(
            group, version, namespace, plural, NAME, changes, _content_type="application/merge-patch+json"
        )
    except ApiException as error:
        if error.status != 404:
            raise


@contextmanager
def _again_and_again(act: Callable[[], None], *, every: float) -> Iterator[None]:
    """Something happens every so many seconds as long as the context lasts; raises what kept it from that."""
    stop = threading.Event()

    def go_on() -> None:
        while not stop.wait(every):
            act()

    with ThreadPoolExecutor(1) as thread:
        acting = thread.submit(go_on)
        try:
            yield
        finally:
            stop.set()
        acting.result()


def _wait_until(moment: float) -> None:
    time.sleep(max(moment - time.monotonic(), 0))


def _said(stories: Iterable[Story], complaints: Iterable[list[str]]) -> str:
    """All complaints, each with its story."""
    return "\n".join(f"{story.name}: {one}" for story, these in zip(stories, complaints, strict=True) for one in these)

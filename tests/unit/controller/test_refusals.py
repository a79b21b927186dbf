from dataclasses import replace
from datetime import timedelta

import pytest

from modelrollout.api.status import Colour, ModelRolloutStatus
from modelrollout.controller.refusals import Refusals
from modelrollout.engine.effects import ApplyServices, ApplyWorkload, Effect, ScaleWorkload, SetTraffic, WriteStatus
from unit.controller.fake_cluster import KEY, Clock

BLUE = ApplyWorkload(colour=Colour.BLUE, attempt=1, revision="r", replicas=2)
GREEN = replace(BLUE, colour=Colour.GREEN)
ROUTE = SetTraffic(stable=Colour.BLUE, attempt=1, candidate=Colour.GREEN, weight=50)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def refusals(clock: Clock) -> Refusals:
    refusals = Refusals(now=clock.now)
    assert is_news(refusals, BLUE)
    return refusals


def is_news(refusals: Refusals, effect: Effect, *, generation: int = 1, message: str = "wrong") -> bool:
    _, is_news = refusals.note(KEY, effect=effect, generation=generation, message=message)
    return is_news


def test_the_same_refusal_is_news_once(refusals: Refusals) -> None:
    assert not is_news(refusals, BLUE)
    assert not is_news(refusals, replace(BLUE, replicas=3)), "it is about the same Deployment"
    assert is_news(refusals, BLUE, message="wrong otherwise")
    assert is_news(refusals, BLUE, message="wrong otherwise", generation=2)


def test_two_refusals_of_one_look_do_not_hide_each_other(refusals: Refusals) -> None:
    assert is_news(refusals, GREEN)
    assert is_news(refusals, ROUTE)
    assert not is_news(refusals, BLUE)
    assert all(refusals.still_refused(KEY, effect=effect, generation=1) for effect in (BLUE, GREEN, ROUTE))


def test_the_same_effect_is_not_tried_for_a_while(refusals: Refusals, clock: Clock) -> None:
    assert refusals.still_refused(KEY, effect=BLUE, generation=1)
    assert not refusals.still_refused(KEY, effect=GREEN, generation=1)
    assert not refusals.still_refused(KEY, effect=replace(BLUE, replicas=3), generation=1)
    assert not refusals.still_refused(KEY, effect=BLUE, generation=2), "the spec was changed"
    clock.turn_to(1)
    assert not refusals.still_refused(KEY, effect=BLUE, generation=1)


def test_a_status_is_the_same_again_although_the_times_in_it_differ(refusals: Refusals) -> None:
    assert is_news(refusals, WriteStatus(status=ModelRolloutStatus(paused_seconds=1)))
    later = WriteStatus(status=ModelRolloutStatus(paused_seconds=2))
    assert refusals.still_refused(KEY, effect=later, generation=1)
    assert not is_news(refusals, later)


def test_the_pauses_grow_up_to_a_limit_and_begin_anew_with_another_effect(clock: Clock) -> None:
    refusals = Refusals(now=clock.now)

    def pause(effect: Effect) -> timedelta:
        return refusals.note(KEY, effect=effect, generation=1, message="forbidden")[0].pause

    assert [pause(ROUTE).total_seconds() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    taken_back = replace(ROUTE, weight=0)
    assert not refusals.still_refused(KEY, effect=taken_back, generation=1), "a revert does not wait for a promotion"
    assert pause(taken_back) == timedelta(seconds=1)


def test_it_is_said_as_long_as_it_is_about_the_present_spec(refusals: Refusals, clock: Clock) -> None:
    clock.turn_to(3600)
    assert refusals.of_workloads(KEY, generation=1) == [(BLUE, "wrong")]
    assert not refusals.of_workloads(KEY, generation=2)
    assert not refusals.of_traffic(KEY, generation=1)


def test_services_and_routes_are_traffic_and_numbers_of_pods_are_workload(refusals: Refusals) -> None:
    refusals.clear(KEY, effect=BLUE)
    for effect in (ApplyServices(), ROUTE):
        assert is_news(refusals, effect, message=type(effect).__name__)
    assert refusals.of_traffic(KEY, generation=1) == ["ApplyServices", "SetTraffic"]
    assert not refusals.of_workloads(KEY, generation=1)
    scale = ScaleWorkload(colour=Colour.GREEN, replicas=3)
    assert is_news(refusals, scale)
    assert refusals.of_workloads(KEY, generation=1) == [(scale, "wrong")]


def test_it_is_over_once_the_same_object_was_written(refusals: Refusals) -> None:
    assert not refusals.clear(KEY, effect=GREEN)
    assert not refusals.clear(KEY, effect=ApplyServices())
    assert refusals.clear(KEY, effect=replace(BLUE, replicas=3))
    assert not refusals.of_workloads(KEY, generation=1)

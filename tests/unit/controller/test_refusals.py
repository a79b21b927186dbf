from dataclasses import replace

import pytest

from modelrollout.api.status import Colour
from modelrollout.controller.refusals import Refusals
from modelrollout.engine.effects import ApplyServices, ApplyWorkload, SetTraffic
from unit.controller.fake_cluster import KEY, Clock

BLUE = ApplyWorkload(colour=Colour.BLUE, attempt=1, revision="r", replicas=2)
GREEN = replace(BLUE, colour=Colour.GREEN)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def refusals(clock: Clock) -> Refusals:
    refusals = Refusals(now=clock.now)
    assert refusals.note(KEY, effect=BLUE, generation=1, message="wrong")
    return refusals


def test_the_same_refusal_is_news_once(refusals: Refusals) -> None:
    assert not refusals.note(KEY, effect=BLUE, generation=1, message="wrong")
    assert refusals.note(KEY, effect=BLUE, generation=1, message="wrong otherwise")


def test_the_same_effect_is_not_tried_for_a_minute(refusals: Refusals, clock: Clock) -> None:
    assert refusals.still_refused(KEY, effect=BLUE, generation=1)
    assert not refusals.still_refused(KEY, effect=GREEN, generation=1)
    assert not refusals.still_refused(KEY, effect=BLUE, generation=2), "the spec was changed"
    clock.turn_to(60)
    assert not refusals.still_refused(KEY, effect=BLUE, generation=1)


def test_it_is_said_as_long_as_it_is_about_the_present_spec(refusals: Refusals, clock: Clock) -> None:
    clock.turn_to(3600)
    assert refusals.of_workload(KEY, generation=1)
    assert not refusals.of_workload(KEY, generation=2)
    assert not refusals.of_traffic(KEY, generation=1)


def test_services_and_routes_are_traffic(refusals: Refusals) -> None:
    for effect in (ApplyServices(), SetTraffic(stable=Colour.BLUE, attempt=1)):
        refusals.note(KEY, effect=effect, generation=1, message="wrong")
        assert refusals.of_traffic(KEY, generation=1)
        assert not refusals.of_workload(KEY, generation=1)


def test_it_is_over_once_the_same_object_was_written(refusals: Refusals) -> None:
    assert not refusals.clear(KEY, effect=GREEN)
    assert not refusals.clear(KEY, effect=ApplyServices())
    assert refusals.clear(KEY, effect=replace(BLUE, replicas=3))
    assert not refusals.of_workload(KEY, generation=1)

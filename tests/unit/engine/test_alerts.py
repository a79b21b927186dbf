"""Alerts that fire while a candidate is on trial."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelrollout.api.status import Colour, Phase
from modelrollout.engine import effects as fx
from modelrollout.engine.snapshot import Alert
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import MINUTE, in_stage, serving, taking_back

ALERTS = {"revertOn": [{"alertname": "Errors"}, {"alertname": "Slow"}]}


def firing(world: World, name: str = "Errors", *, begun: timedelta = timedelta(), **changes: Any) -> Alert:
    """An alert that has fired for so long, and names what is given."""
    alert = Alert(
        name=name,
        labels={"alertname": name, "namespace": "ml", "severity": "page"},
        summary="5% of the requests fail",
        starts_at=world.now - begun,
        ends_at=world.now + timedelta(minutes=4),
        colour="",
        attempt="",
    )
    return replace(alert, **changes)


@pytest.mark.parametrize(
    "named", [{}, {"colour": "green"}, {"attempt": "2"}, {"colour": "green", "attempt": "2"}], ids=str
)
def test_an_alert_takes_the_candidate_back_with_one_route_write_before_anything_else(named: dict[str, Any]) -> None:
    world = in_stage("canary-10", alerts=ALERTS)
    world.alerts = (firing(world, **named),)
    taken_back = taking_back(world)
    decision = world.reconcile()
    assert decision.effects[0] == taken_back
    assert isinstance(decision.effects[1], fx.WriteStatus)
    revert = world.status.last_revert
    assert revert
    assert (revert.reason, revert.stage) == ("AlertFiring", "canary-10")
    for word in ("Errors", "5% of the requests fail", 'severity="page"'):
        assert word in revert.message
    world.run_for(MINUTE)
    told = [entry for entry in world.reports[2].timeline if entry.reason == "Reverting"]
    assert [(entry.left, revert.message in entry.message) for entry in told] == [("canary-10", True)]
    assert world.status.phase is Phase.REVERTED


@pytest.mark.parametrize(
    "named",
    [
        {"name": "Disk"},
        {"colour": "blue"},
        {"attempt": "1"},
        {"attempt": "3", "colour": "green"},
        {"attempt": "2", "colour": "blue"},
        {"begun": timedelta(hours=1)},
        {"begun": timedelta(hours=1), "colour": "green"},
        {"ends_at": None},
    ],
    ids=str,
)
def test_what_the_spec_does_not_name_and_what_is_about_another_does_nothing(named: dict[str, Any]) -> None:
    """Another colour, another attempt, an alert from before the first requests, one that fires no longer."""
    world = in_stage("canary-10", alerts=ALERTS)
    given = named | ({"ends_at": world.now} if "ends_at" in named else {})
    name, begun = given.pop("name", "Errors"), given.pop("begun", timedelta())
    world.alerts = (firing(world, name, begun=begun, **given),)
    world.settle()
    assert world.status.phase is Phase.PROGRESSING


def test_without_being_named_no_alert_takes_anybody_back() -> None:
    world = in_stage("canary-10")
    world.alerts = (firing(world),)
    world.settle()
    assert world.status.phase is Phase.PROGRESSING


def test_an_alert_about_this_attempt_counts_however_early_it_fired() -> None:
    """Clocks of two machines differ, and the labels leave no doubt."""
    world = in_stage("canary-10", alerts=ALERTS)
    world.alerts = (firing(world, begun=timedelta(hours=1), attempt="2"),)
    world.settle()
    assert world.status.phase is Phase.REVERTING


def test_an_alert_of_an_earlier_stage_counts_in_a_later_one() -> None:
    """The operator was away when it began to fire, and has heard of it only now."""
    world = in_stage("canary-10", alerts=ALERTS)
    began = world.now
    while world.status.stage and world.status.stage.name == "canary-10":
        world.now += timedelta(seconds=5)
        world.settle()
    world.alerts = (firing(world, begun=world.now - began),)
    world.settle()
    assert world.status.phase is Phase.REVERTING


def test_nothing_is_taken_back_where_nobody_is_on_trial() -> None:
    world = serving(make_spec(alerts=ALERTS))
    world.alerts = (firing(world), firing(world, attempt="1", colour="blue"))
    log = len(world.log)
    world.run_for(5 * MINUTE)
    assert world.status.phase is Phase.IDLE
    assert not [one for one in world.log[log:] if isinstance(one, fx.WriteStatus)]


def test_before_its_first_requests_a_candidate_is_not_to_blame() -> None:
    world = serving(make_spec(alerts=ALERTS))
    world.preflighted = False
    world.change(make_spec("2.0.0", alerts=ALERTS))
    world.settle()
    assert world.status.phase is Phase.PREPARING
    world.alerts = (firing(world),)
    world.run_for(MINUTE)
    assert world.status.phase is Phase.PREPARING
    world.preflighted = True
    world.run_for(MINUTE / 2)
    assert world.status.phase is Phase.PROGRESSING, "it fired before, so something else is to blame"


def test_a_gradual_way_back_goes_on_at_once() -> None:
    gradual = {"rollback": {"mode": "Gradual", "hold": "10m"}}
    world = in_stage("canary-50", alerts=ALERTS, **gradual)
    world.ask("Revert", mode="Gradual")
    world.settle()
    assert world.status.way_back, "it keeps a part of the requests for a while"
    world.now += timedelta(seconds=30)
    world.alerts = (firing(world),)
    world.settle()
    assert world.weights == {Colour.BLUE: 100, Colour.GREEN: 0}
    assert any(event.reason == "GoingBack" and "alert Errors fires" in event.message for event in world.events)


def test_the_one_that_fires_longest_is_told() -> None:
    world = in_stage("canary-10", alerts=ALERTS)
    world.now += timedelta(seconds=30)
    world.alerts = (firing(world, "Slow"), firing(world, begun=timedelta(seconds=9), attempt="2"))
    world.settle()
    assert world.status.last_revert
    assert world.status.last_revert.message.startswith("alert Errors fires")

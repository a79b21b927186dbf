"""Every strategy on its way to 100 per cent, with both routers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scenarios.story import ENDLESS, REPLICAS, Story, canary, condition_of

STEPS = canary(10, 50, 100)["canary"]["steps"]
RINGS = [{"name": name, "weight": weight, "hold": "1s"} for name, weight in (("internal", 1), ("production", 100))]
FULL = [
    {"name": "look", "traffic": {"weight": 0}, "hold": "1s"},
    {"name": "try", "traffic": {"weight": 5}, "hold": "1s"},
    {"name": "all", "traffic": {"weight": 100}, "hold": "1s"},
]
STRATEGIES = {
    "canary": ({"canary": {"steps": STEPS}}, {"canary-10": 10, "canary-50": 50, "canary-100": 100}),
    "percentage": ({"percentage": {"steps": STEPS[1:]}}, {"percentage-50": 50, "percentage-100": 100}),
    "blueGreen": (
        {"blueGreen": {"validation": "1s", "steps": STEPS}},
        {"validate": 0, "switch-10": 10, "switch-50": 50, "switch-100": 100},
    ),
    "straight-over": (
        {"blueGreen": {"validation": "1s", "steps": STEPS[2:]}},
        {"validate": 0, "switch-100": 100},
    ),
    "ring": ({"ring": {"rings": RINGS}}, {"internal": 1, "production": 100}),
    "stages": ({"stages": FULL}, {"look": 0, "try": 5, "all": 100}),
}


@pytest.mark.parametrize(("strategy", "stages"), STRATEGIES.values(), ids=STRATEGIES)
def test_a_strategy_gives_what_its_stages_declare(story: Story, strategy: Any, stages: dict[str, int]) -> None:
    before = story.begin(strategy=strategy)
    routes = story.watch_routes()
    story.apply("2.0.0")
    after = story.serves("2.0.0")["stable"]
    story.route_leads_to(after)
    assert [stage for _, _, stage in story.phases() if stage] == list(stages)
    assert [given[after["colour"]] for given in routes.given()] == sorted({0, *stages.values()})
    assert before["colour"] != after["colour"]
    routes.never_gave_more_than_declared()


def test_with_the_replicas_router_the_candidate_has_as_many_pods_as_its_weight_takes(story: Story) -> None:
    before = story.begin(traffic=REPLICAS, replicas=4, strategy=canary(20, 50, 100))
    stable_pods, candidate_pods = story.watch_pods_of(before), story.watch_pods_of_next(before)
    story.apply("2.0.0")
    after = story.serves("2.0.0")["stable"]
    story.eventually(lambda: story.selects() == after["colour"], "the Service to select the new version")
    assert candidate_pods.sizes() == [1, 4]
    assert stable_pods.least() == 4


def test_a_proportional_candidate_has_the_pods_that_its_share_takes(story: Story) -> None:
    capacity = {"candidate": "Proportional"}
    before = story.begin(replicas=4, strategy=canary(10, 50, 100), capacity=capacity)
    stable_pods, candidate_pods = story.watch_pods_of(before), story.watch_pods_of_next(before)
    story.apply("2.0.0")
    story.serves("2.0.0")
    assert candidate_pods.sizes() == [1, 3, 4]
    assert stable_pods.least() == 4


def test_a_stage_that_so_few_pods_cannot_reach_is_skipped(story: Story) -> None:
    story.begin(traffic=REPLICAS, strategy=canary(5, 50, 100))
    story.apply("2.0.0")
    status = story.serves("2.0.0")
    assert [stage for _, _, stage in story.phases() if stage] == ["canary-50", "canary-100"]
    assert status["reachableWeights"] == [33.33, 50, 100]


def test_a_stage_that_so_few_pods_cannot_reach_is_refused_if_the_user_says_so(story: Story) -> None:
    story.begin(traffic={"replicas": {"unreachable": "Refuse"}}, strategy=canary(20, 100))
    story.apply("2.0.0")
    status = story.says("RouteReady", "WeightUnreachable", status="False")
    assert "canary-20: with 2 replicas the reachable weights are 33.33, 50, 100" in str(
        condition_of(status, "RouteReady")["message"]
    )
    story.apply("2.0.0", replicas=4)
    story.serves("2.0.0")


def test_after_the_bake_the_new_version_is_stable(story: Story) -> None:
    story.begin(strategy=canary(50, 100), bake={"duration": "2s"})
    story.apply("2.0.0")
    status = story.enters("bake")
    assert status["stable"]["version"] == "1.0.0", "until the bake is over"
    story.serves("2.0.0")


def test_a_breach_in_the_bake_takes_everything_back_in_one_write(story: Story) -> None:
    before = story.begin(strategy=canary(50, 100), bake={"duration": "1h"})
    stable_pods = story.watch_pods_of(before)
    story.apply("2.0.0")
    candidate = story.enters("bake")["candidate"]
    routes = story.watch_routes()
    story.turns_bad(candidate)
    assert story.is_taken_back("2.0.0", "SLOBreached")["stage"] == "bake"
    assert [given[before["colour"]] for given in routes.given()] == [0, 100]
    assert stable_pods.least() == 2


def test_a_stage_waits_for_its_window(story: Story) -> None:
    before = story.begin(strategy=canary(20, 100, window=_closed()))
    routes = story.watch_routes()
    story.apply("2.0.0")
    status = story.says("Progressing", "OutsideWindow", status="True")
    assert _closed_until() in str(condition_of(status, "Progressing")["message"])
    assert condition_of(status, "Ready")["status"] == "True", "nothing needs a person"
    assert [given[before["colour"]] for given in routes.given()] == [100]
    story.apply("2.0.0", strategy=canary(20, 100))
    story.serves("2.0.0")


def test_what_has_begun_is_taken_back_outside_the_window(story: Story) -> None:
    before = story.begin(strategy={"canary": {"steps": [STEPS[1], STEPS[2] | {"window": _closed()}]}})
    story.apply("2.0.0")
    candidate = story.says("Progressing", "OutsideWindow")["candidate"]
    story.turns_bad(candidate)
    story.is_taken_back("2.0.0", "SLOBreached")
    story.route_leads_to(before)


def test_each_stage_of_an_endless_strategy_can_be_seen_from_outside(story: Story) -> None:
    story.begin(strategy=ENDLESS)
    story.apply("2.0.0")
    story.wait_for(lambda status: status.get("verdict") == "Pass", "the SLOs to pass")
    weights = {"declared": 50, "reachable": 50, "observed": 50}
    story.wait_for(lambda status: status["weights"] == weights, "the route to be seen")
    row = story.kubectl("get", "mr", story.name, "--no-headers").split()
    assert row[1:6] == ["2.0.0", "Progressing", "canary-50", "50", "Pass"]


def _closed() -> dict[str, Any]:
    """A window that opens in two days."""
    opens = datetime.now(UTC) + timedelta(days=2)
    return {"days": [opens.strftime("%a")], "from": "00:00", "to": "23:59", "timeZone": "UTC"}


def _closed_until() -> str:
    return (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%d 00:00:00Z")

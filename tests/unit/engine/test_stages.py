"""What each strategy expands into."""

from datetime import timedelta
from typing import Any

import pytest

from modelrollout.api.traffic import HeaderMatch
from modelrollout.engine.stages import expand
from unit.engine.simulation import make_spec


def weights(strategy: dict[str, Any]) -> list[tuple[str, int]]:
    return [(stage.name, stage.weight) for stage in expand(make_spec(strategy=strategy))]


@pytest.mark.parametrize(
    ("strategy", "stages"),
    [
        ({"canary": {}}, [(f"canary-{weight}", weight) for weight in (1, 5, 10, 25, 50, 100)]),
        ({"blueGreen": {}}, [("validate", 0), ("switch-10", 10), ("switch-50", 50), ("switch-100", 100)]),
        ({"percentage": {}}, [(f"percentage-{weight}", weight) for weight in (25, 50, 75, 100)]),
        (
            {"percentage": {"steps": [{"weight": 30}, {"weight": 100}]}},
            [("percentage-30", 30), ("percentage-100", 100)],
        ),
        ({"ring": {}}, [("internal", 1), ("beta", 10), ("production", 100)]),
        (
            {"stages": [{"name": name, "traffic": {"weight": weight}} for name, weight in (("look", 0), ("go", 100))]},
            [("look", 0), ("go", 100)],
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_strategy_stands_for_stages(strategy: dict[str, Any], stages: list[tuple[str, int]]) -> None:
    assert weights(strategy) == stages


def test_every_stage_keeps_its_times_and_what_it_requires() -> None:
    timed = {"hold": "2h", "deadline": "6h", "onDeadline": "Revert", "require": {"slos": ["errors"]}}
    (stage,) = expand(make_spec(strategy={"stages": [{"name": "all", "traffic": {"weight": 100}, **timed}]}))
    assert (stage.hold, stage.deadline) == (timedelta(hours=2), timedelta(hours=6))
    assert (stage.on_deadline, stage.required_slos) == ("Revert", ("errors",))
    assert stage.window is None


def test_a_bake_is_a_last_stage_in_which_everything_can_still_go_back() -> None:
    *_, last, bake = expand(make_spec(bake={"duration": "24h", "slos": []}))
    assert last.weight == 100
    assert (bake.name, bake.weight, bake.hold, bake.required_slos) == ("bake", 100, timedelta(days=1), ())


def cohort(value: str, header: str = "x-ring") -> dict[str, str]:
    return {"header": header, "value": value}


def let_in(strategy: dict[str, Any]) -> list[list[str]]:
    return [[str(one) for one in stage.match] for stage in expand(make_spec(strategy=strategy))]


def test_who_was_let_in_by_a_ring_stays_in_by_those_behind_it() -> None:
    rings = [
        {"name": "internal", "match": [cohort("internal")]},
        {"name": "beta", "weight": 10, "match": [cohort("beta"), cohort("internal", "X-Ring")]},
        {"name": "production", "weight": 100},
    ]
    both = ["x-ring: internal", "x-ring: beta"]
    assert let_in({"ring": {"rings": rings}}) == [both[:1], both, both]
    assert weights({"ring": {"rings": rings}}) == [("internal", 0), ("beta", 10), ("production", 100)]


def test_stages_in_full_let_in_whom_they_name() -> None:
    stages = [
        {"name": "look", "traffic": {"weight": 0, "match": [cohort("one"), cohort("one", "X-Ring")]}},
        {"name": "more", "traffic": {"weight": 0, "match": [cohort("two")]}},
        {"name": "all", "traffic": {"weight": 100}},
    ]
    assert let_in({"stages": stages}) == [["x-ring: one"], ["x-ring: two"], []]
    assert [stage.has_requests for stage in expand(make_spec(strategy={"stages": stages}))] == [True] * 3


def test_names_of_headers_are_the_same_in_upper_and_lower_case() -> None:
    assert HeaderMatch(header="X-Ring", value="A") == HeaderMatch(header="x-ring", value="A")
    assert HeaderMatch(header="X-Ring", value="A") != HeaderMatch(header="x-ring", value="a")

"""Who is let in by header, when, and how everybody is back at once."""

from datetime import timedelta
from typing import Any

from modelrollout.api.slo import Verdict
from modelrollout.api.status import MOST_EXCLUDED, Colour, ModelRolloutStatus, Phase
from modelrollout.api.traffic import HeaderMatch
from modelrollout.engine import effects as fx
from unit.engine.simulation import World, make_spec
from unit.engine.worlds import MINUTE, breach, in_stage, reasons, serving, taking_back

SECOND = timedelta(seconds=1)
INTERNAL, BETA = (HeaderMatch(header="x-ring", value=value) for value in ("internal", "beta"))


def rings(*, first_weight: int = 0, let_in: HeaderMatch = INTERNAL) -> dict[str, Any]:
    """Internal people, then beta people and a tenth of all others, then everybody."""
    internal = {"name": "internal", "weight": first_weight, "match": [let_in.to_wire()], "hold": "1m"}
    beta = {"name": "beta", "weight": 10, "match": [BETA.to_wire()], "hold": "1m"}
    return {"ring": {"rings": [internal, beta, {"name": "production", "weight": 100, "hold": "1m"}]}}


def let_in(world: World) -> set[str]:
    return {str(one) for one in world.cohorts.get(Colour.GREEN, ())}


def exclude(world: World, *cohorts: HeaderMatch) -> None:
    """As an action does, by a write of the status."""
    world.status = world.status.model_copy(update={"excluded": [*cohorts]})
    world.status_version += 1
    world.settle()


def lose_status(world: World) -> None:
    world.status, world.status_version = ModelRolloutStatus(), world.status_version + 1
    world.history, world.reports, world.unremembered = {}, {}, {*Colour}
    world.settle()


def test_a_ring_of_weight_0_lets_its_cohort_in_and_nobody_else() -> None:
    world = in_stage("internal", strategy=rings())
    assert world.weights == {Colour.BLUE: 100, Colour.GREEN: 0}
    assert let_in(world) == {"x-ring: internal"}
    told = next(event.message for event in world.events if event.reason == "StageEntered")
    assert told == "Stage internal (1 of 3): 0 % of the requests and all with x-ring: internal to the candidate"


def test_a_cohort_is_let_in_once_proxies_know_the_way_and_not_before() -> None:
    world = serving(make_spec(strategy=rings()))
    world.change(make_spec("2.0.0", strategy=rings()))
    world.settle()
    sent = [effect for effect in world.log if isinstance(effect, fx.SetTraffic)]
    assert world.status.stage
    assert sent[-1].candidate is Colour.GREEN
    assert not let_in(world)
    world.now += 2 * SECOND
    world.settle()
    assert let_in(world) == {"x-ring: internal"}


def test_a_cohort_waits_for_all_pods() -> None:
    world = serving(make_spec(strategy=rings()))
    world.change(make_spec("2.0.0", strategy=rings()))
    world.settle()
    world.pods_ready(Colour.GREEN, 3)
    world.now += 10 * SECOND
    world.reconcile()
    assert not let_in(world)
    world.settle()
    assert let_in(world) == {"x-ring: internal"}


def test_who_was_let_in_stays_in_until_the_candidate_serves_everybody() -> None:
    world = in_stage("beta", strategy=rings())
    assert let_in(world) == {"x-ring: internal", "x-ring: beta"}
    assert world.weights == {Colour.BLUE: 90, Colour.GREEN: 10}
    world.run_for(3 * MINUTE)
    assert world.status.phase is Phase.IDLE
    assert world.weights == {Colour.BLUE: 0, Colour.GREEN: 100}
    assert not any(world.cohorts.values())


def test_a_breach_in_a_ring_of_weight_0_takes_its_cohort_back_in_the_first_write() -> None:
    world = in_stage("internal", strategy=rings())
    breach(world, times=1)
    world.now += SECOND
    taking = taking_back(world)
    assert world.reconcile().effects[0] == taking
    assert world.status.last_revert
    assert (world.status.last_revert.reason, world.status.last_revert.stage) == ("SLOBreached", "internal")
    assert not let_in(world)


def test_silence_holds_a_ring_of_weight_0() -> None:
    world = in_stage("internal", strategy=rings())
    world.verdict = Verdict.INCONCLUSIVE
    world.run_for(10 * MINUTE)
    assert world.status.stage
    assert world.status.stage.name == "internal"


def test_a_cohort_whose_pods_are_all_gone_goes_back() -> None:
    world = in_stage("internal", strategy=rings())
    world.pods_ready(Colour.GREEN, 0)
    world.reconcile()
    assert "Reverting" in reasons(world)
    assert not let_in(world)


def test_a_cohort_stays_where_it_is_answered_while_no_stable_pod_is_ready() -> None:
    world = in_stage("internal", strategy=rings())
    world.pods_ready(Colour.BLUE, 0)
    breach(world, times=2)
    assert world.status.phase is Phase.REVERTING
    assert let_in(world) == {"x-ring: internal"}
    world.settle()
    assert not let_in(world)


def test_the_candidate_keeps_its_pods_until_its_cohort_is_back() -> None:
    world = in_stage("internal", strategy=rings())
    world.change(make_spec("1.0.0", strategy=rings()))
    world.reconcile()
    assert not let_in(world)
    assert world.workloads[Colour.GREEN].desired == 4
    world.run_for(MINUTE)
    assert world.workloads[Colour.GREEN].desired == 0


def test_who_is_excluded_is_not_let_in_and_the_stage_goes_on() -> None:
    world = in_stage("beta", strategy=rings())
    exclude(world, INTERNAL)
    assert let_in(world) == {"x-ring: beta"}
    assert world.excluded == {INTERNAL}
    world.run_for(MINUTE)
    assert world.status.stage
    assert world.status.stage.name == "production"
    exclude(world)
    assert world.excluded == frozenset()
    assert let_in(world) == {"x-ring: internal", "x-ring: beta"}


def test_who_is_excluded_gets_what_is_promoted_and_the_event_says_so() -> None:
    world = in_stage("beta", strategy=rings())
    exclude(world, INTERNAL, BETA)
    world.run_for(3 * MINUTE)
    assert world.status.phase is Phase.IDLE
    told = next(event.message for event in reversed(world.events) if event.reason == "Promoted")
    assert told == "Version 2.0.0 serves all requests from green, also those with x-ring: internal, x-ring: beta"
    assert world.excluded == {INTERNAL, BETA}, "the next version finds them excluded again"


def test_who_is_excluded_stays_so_when_the_status_is_lost() -> None:
    world = in_stage("internal", strategy=rings())
    foreign = HeaderMatch.model_construct(header="x-ring", value="written by somebody else\n")
    exclude(world, INTERNAL, BETA)
    world.excluded |= {foreign}
    lose_status(world)
    assert "Adopted" in reasons(world)
    assert world.excluded == {INTERNAL, BETA}
    assert not let_in(world)


def test_no_more_are_excluded_after_a_lost_status_than_a_status_may_tell() -> None:
    world = serving(make_spec(strategy=rings()))
    world.excluded = frozenset(HeaderMatch(header="x-ring", value=f"{number}") for number in range(MOST_EXCLUDED + 1))
    lose_status(world)
    assert len(world.excluded) == MOST_EXCLUDED


def test_pods_that_split_the_requests_exclude_nobody() -> None:
    world = serving(make_spec(traffic={"replicas": {}}))
    exclude(world, INTERNAL)
    before = world.route_version, world.status_version
    world.settle()
    assert (world.route_version, world.status_version) == before
    assert world.excluded == frozenset()


def test_another_match_is_another_stage_and_begins_at_the_first() -> None:
    world = in_stage("beta", strategy=rings())
    edited = rings(let_in=HeaderMatch(header="x-team", value="search"))
    world.change(make_spec("2.0.0", strategy=edited))
    world.settle()
    assert "StrategyChanged" in reasons(world)
    assert world.status.stage
    assert world.status.stage.name == "internal"
    world.run_for(10 * SECOND)
    assert let_in(world) == {"x-team: search"}


def test_the_slos_of_a_ring_of_weight_0_are_looked_at() -> None:
    world = in_stage("internal", strategy=rings())
    watch = world.reconcile().watch
    assert watch
    assert watch.candidate is Colour.GREEN


def test_nobody_is_let_in_on_a_view_from_before_the_way_back() -> None:
    """The way back changed nothing in the route, so that only the status can tell that the view is old."""
    world = serving(make_spec(strategy=rings()))
    world.change(make_spec("2.0.0", strategy=rings()))
    world.settle()
    seen, version = world.snapshot(), world.status_version
    world.change(make_spec("1.0.0", strategy=rings()))
    world.reconcile()
    assert world.status.phase is Phase.REVERTING
    assert seen.route == world.snapshot().route
    world.now += 5 * SECOND
    world.carry_out(seen, version)
    assert not let_in(world)

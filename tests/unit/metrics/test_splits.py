"""Splits that are looked at while a rollout is watched."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from modelrollout.api.evidence import Counted
from modelrollout.api.slo import Baseline, BuiltInMetric, Counter, Slo
from modelrollout.judge.evidence import Book, Pair, Weighed
from modelrollout.judge.ledger import Coverage
from modelrollout.judge.noise import UNKNOWN
from modelrollout.metrics.splits import Splits
from modelrollout.metrics.watched import Target
from unit.metrics.test_poller import FRAUD, START, Bench, requests, target
from unit.metrics.test_watched import RELATIVE, of_stable

SLOW = Slo(name="slow", metric=BuiltInMetric.TIME_PER_OUTPUT_TOKEN, slower_than="50ms", baseline=Baseline())
DISMISSED = Slo(name="dismissed", counter=Counter(bad="dismissed_total", total="alerts_total"), baseline=Baseline())
LIMITED = Slo(name="limited", metric=BuiltInMetric.ERROR_RATIO, limit="1%")
SLOS = (RELATIVE, SLOW, DISMISSED, LIMITED)
SEEN = Coverage(known=1, current=1, newest=START.timestamp(), interval=15.0)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Bench().polling() as bench:
        yield bench


def declaring(some: Target, split: int | None) -> Target:
    return replace(some, watch=replace(some.watch, split=split))


def books() -> dict[str, Book]:
    return {slo.name: Book(slo, noise=UNKNOWN, since=START) for slo in SLOS}


def counted(candidate: int, stable: int) -> Weighed:
    stage = Pair(candidate=Counted(total=candidate), stable=Counted(total=stable))
    return Weighed(attempt=stage, stage=stage, block=stage)


def look(splits: Splits, minute: int, candidate: int, stable: int, *coverages: Coverage) -> None:
    seen = coverages or (SEEN, SEEN)
    for slo in SLOS:
        splits.look(slo, counted(candidate, stable), seen, START + timedelta(minutes=minute))


def off(before: Splits | None = None, of: dict[str, Book] | None = None) -> Splits:
    """A third of the requests instead of a tenth."""
    splits = Splits(declaring(target(), 10).watch, SLOS, of or books(), before=before)
    look(splits, 0, 0, 0)
    look(splits, 3, 1000, 2000)
    return splits


def mismatched(splits: Splits) -> list[str]:
    return [slo.name for slo in SLOS if splits.mismatch(slo)]


def test_what_does_not_count_requests_takes_the_word_of_what_does_and_a_limit_does_not_care() -> None:
    assert mismatched(off()) == ["errors", "slow", "dismissed"]


def test_where_nobody_knows_the_split_nothing_is_looked_at() -> None:
    splits = Splits(declaring(target(), None).watch, SLOS, books())
    look(splits, 0, 0, 0)
    look(splits, 3, 1000, 2000)
    assert mismatched(splits) == []


def test_while_pods_cannot_be_scraped_nothing_is_said_and_it_begins_anew() -> None:
    splits = off()
    look(splits, 4, 1100, 2200, SEEN, replace(SEEN, down=("ml/b",)))
    assert mismatched(splits) == []
    look(splits, 5, 1200, 2400)
    assert mismatched(splits) == [], "what was counted before is forgotten"
    look(splits, 8, 2200, 4400)
    assert mismatched(splits) == ["errors", "slow", "dismissed"]


def test_a_version_that_is_scraped_no_more_has_no_share() -> None:
    splits = off()
    look(splits, 4, 1000, 3000, replace(SEEN, current=0), SEEN)
    assert mismatched(splits) == []


def test_rare_scrapes_take_longer_to_tell() -> None:
    splits = Splits(declaring(target(), 10).watch, SLOS, books())
    rare = replace(SEEN, interval=600.0)
    look(splits, 0, 0, 0, SEEN, rare)
    look(splits, 3, 1000, 2000, SEEN, rare)
    assert mismatched(splits) == []


def test_another_edit_of_the_spec_goes_on_and_another_share_or_other_counts_begin_anew() -> None:
    known = books()
    before = off(of=known)
    assert mismatched(Splits(declaring(target(), 10).watch, SLOS, known, before=before)) == mismatched(before)
    assert mismatched(Splits(declaring(target(), 20).watch, SLOS, known, before=before)) == []
    later = target(since=START + timedelta(minutes=9))
    assert mismatched(Splits(declaring(later, 10).watch, SLOS, known, before=before)) == []
    assert mismatched(Splits(declaring(target(), 10).watch, SLOS, books(), before=before)) == []


def serve(bench: Bench, scrapes: int, *, of_candidate: int) -> None:
    """So many scrapes of both versions, and a fifth of the candidate's requests fails."""

    def growing(each: int) -> list[int]:
        return [each * number for number in range(scrapes)]

    bench.source.series = [
        *(requests(200, *growing(4 * of_candidate)), requests(500, *growing(of_candidate))),
        *(of_stable(requests(200, *growing(1485))), of_stable(requests(500, *growing(15)))),
    ]
    bench.now = START + timedelta(seconds=15 * scrapes)


async def test_a_candidate_that_gets_more_than_declared_is_not_compared_and_held(bench: Bench) -> None:
    """A quarter instead of a twentieth; its errors would take it back."""
    watched = declaring(target(RELATIVE, LIMITED), 5)
    serve(bench, 2, of_candidate=0)
    bench.poller.watch(FRAUD, watched)
    await bench.until(lambda: bench.reasons().get("errors") == "NoTraffic", "NoTraffic")
    serve(bench, 12, of_candidate=100)
    await bench.until(lambda: bench.reasons()["errors"] == "SplitMismatch", "SplitMismatch")
    said = bench.told[-1][1].by_slo["errors"]
    assert "26.83% of the requests went to the candidate (5,500 of 20,500 since 12:00:30Z)" in said.message
    assert "5.00% are declared" in said.message
    assert said.comparison
    assert said.comparison.evidence > 100, "it is worse, but nobody can tell why"
    assert bench.reasons()["limited"] == "AboveLimit", "its limit goes on"


async def test_a_change_of_what_is_watched_does_not_forget_what_was_weighed(bench: Bench) -> None:
    serve(bench, 12, of_candidate=100)
    bench.poller.watch(FRAUD, target(RELATIVE))
    await bench.until(lambda: bench.reasons() == {"errors": "WorseThanStable"}, "WorseThanStable")
    told = len(bench.told)
    bench.poller.watch(FRAUD, declaring(target(RELATIVE), 5))
    await bench.until(lambda: len(bench.told) > told, "told")
    assert {readings.by_slo["errors"].reason for _, readings in bench.told[told:]} == {"WorseThanStable"}

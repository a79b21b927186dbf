"""The ledger against hand-made samples whose truth is plain, and against a simulated pod whose truth is known."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from modelrollout.judge.ledger import Ledger, Sample, Scrapes, Series

ALWAYS = float("-inf")


def samples(text: str, *, start: float = 0, step: float = 15) -> list[Sample]:
    """`1 _ 3` are scrapes at start and two steps later, and none of this series in between."""
    return [
        Sample(start + step * position, float(value))
        for position, value in enumerate(text.split())
        if value not in {"_", "x"}
    ]


def series(tally: str, text: str, *, start: float = 0, step: float = 15) -> Series:
    return Series(name=tally, tallies=(tally,), samples=samples(text, start=start, step=step))


def scrapes(*parts: Series, up: str = "", target: str = "pod-a", start: float = 0, step: float = 15) -> Scrapes:
    """What a target's `up` says, `1` for a scrape that worked and `0` for one that failed, and its series."""
    return Scrapes(target=target, up=samples(up, start=start, step=step), series=parts)


def total(ledger: Ledger, tally: str, *, after: float = ALWAYS, since: float = ALWAYS) -> float:
    return ledger.total(tally, after=after, since=since)


def counted(*parts: Series, up: str = "") -> float:
    ledger = Ledger()
    ledger.absorb([scrapes(*parts, up=up)])
    return total(ledger, "failed")


def test_the_first_sample_of_an_old_series_is_only_a_base() -> None:
    assert counted(series("failed", "100 100 103")) == 3


def test_the_first_errors_count_because_an_earlier_scrape_did_not_have_them() -> None:
    """The trap of increase(), which sees nothing in the 3 and 1.33 in the 4."""
    assert counted(series("failed", "_ _ _ 3 3"), up="1 1 1 1 1") == 3
    assert counted(series("failed", "_ _ _ 3 3 4"), up="1 1 1 1 1 1") == 4


def test_other_series_of_the_target_show_its_scrapes_as_well() -> None:
    assert counted(series("requests", "7 9 20"), series("failed", "_ _ 3")) == 3


def test_failed_scrapes_do_not_make_a_series_new() -> None:
    assert counted(series("failed", "_ _ _ 300"), up="0 0 0 1") == 0


def test_missed_scrapes_change_nothing() -> None:
    assert counted(series("failed", "1 _ _ 5 _ 6")) == 5


def test_after_a_restart_a_sample_counts_whole() -> None:
    assert counted(series("failed", "10 12 4 5")) == 2 + 4 + 1


def test_a_restart_seen_in_one_counter_holds_for_all_of_the_target() -> None:
    assert counted(series("requests", "100 20"), series("failed", "3 3")) == 3
    assert counted(series("requests", "100 20 30 40"), series("failed", "3 _ _ 3"), up="1 1 1 1") == 3


def test_a_restart_of_one_target_says_nothing_of_another() -> None:
    ledger = Ledger()
    ledger.absorb(
        [
            scrapes(series("requests", "100 20"), target="pod-a"),
            scrapes(series("failed", "3 3"), target="pod-b"),
        ]
    )
    assert total(ledger, "failed") == 0


def test_a_target_that_comes_later_counts_whole() -> None:
    ledger = Ledger()
    ledger.absorb([scrapes(series("failed", "5 5 5 5 5"), up="1 1 1 1 1", target="pod-a")])
    ledger.absorb([scrapes(series("failed", "2 3", start=60), up="1 1", start=60, target="pod-b")])
    assert total(ledger, "failed") == 3


def test_targets_that_come_all_at_once_may_be_old() -> None:
    """Prometheus may have been down, or has just been told of them."""
    ledger = Ledger()
    ledger.absorb(
        [
            scrapes(series("failed", "500 501"), target="pod-a"),
            scrapes(series("failed", "700 702", start=10), target="pod-b", start=10),
        ]
    )
    assert total(ledger, "failed") == 3


def test_what_began_before_the_stage_is_left_out() -> None:
    """The warm-up was in the scrape interval that the stage began in."""
    ledger = Ledger()
    ledger.absorb([scrapes(series("failed", "0 10 11 13"))])
    assert total(ledger, "failed", since=5) == 3
    assert total(ledger, "failed", since=15) == 3


def test_the_window_takes_whole_scrapes() -> None:
    ledger = Ledger()
    ledger.absorb([scrapes(series("failed", "0 10 11 13"))])
    assert total(ledger, "failed", after=14) == 13
    assert total(ledger, "failed", after=15) == 3


def test_overlapping_answers_count_once() -> None:
    ledger = Ledger()
    for end in range(1, 6):
        ledger.absorb([scrapes(series("failed", " ".join(["1", "2", "4", "8", "16"][:end])))])
    assert total(ledger, "failed") == 15


def test_a_series_that_shows_up_late_has_its_base_in_the_same_answer() -> None:
    """Part of an answer was missing; what it held was old, not new."""
    ledger = Ledger()
    ledger.absorb([scrapes(up="1 1 1")])
    ledger.absorb([scrapes(series("failed", "500 500 500 501"), up="1 1 1 1")])
    assert total(ledger, "failed") == 1


def test_a_series_of_two_tallies_counts_for_both() -> None:
    ledger = Ledger()
    ledger.absorb([scrapes(Series(name="500s", tallies=("requests", "failed"), samples=samples("1 3")))])
    assert (total(ledger, "requests"), total(ledger, "failed")) == (2, 2)


def test_forgetting_leaves_the_window_and_the_cursors() -> None:
    ledger = Ledger()
    ledger.absorb([scrapes(series("failed", "0 1 3 7"), up="1 1 1 1")])
    ledger.forget(15)
    assert total(ledger, "failed") == 6
    ledger.absorb([scrapes(series("failed", "8", start=60), up="1", start=60)])
    assert total(ledger, "failed") == 7


def test_coverage_of_targets_that_are_scraped() -> None:
    ledger = Ledger()
    ledger.absorb([scrapes(up="1 1 1", target="pod-a"), scrapes(up="1 1 0", target="pod-b")])
    coverage = ledger.coverage(now=35)
    assert (coverage.known, coverage.current, coverage.down, coverage.newest) == (2, 2, ("pod-b",), 30)
    assert coverage.interval == 15


def test_a_target_without_scrapes_for_three_intervals_is_not_current() -> None:
    ledger = Ledger()
    ledger.absorb([scrapes(up="1 1 1", target="pod-a")])
    assert ledger.coverage(now=30 + 3 * 15 + 5).current == 1
    assert ledger.coverage(now=30 + 3 * 15 + 6).current == 0


def test_an_empty_ledger_knows_nothing() -> None:
    coverage = Ledger().coverage(now=0)
    assert (coverage.known, coverage.current, coverage.newest, coverage.interval) == (0, 0, None, 60)
    assert total(Ledger(), "failed") == 0


SERIES = ("eager", "lazy", "rare")


@dataclass
class Pod:
    """A process whose counters appear with their first increment, all but the first, and Prometheus beside it."""

    counts: dict[str, int] = field(default_factory=lambda: {"eager": 0})
    restarted: bool = False
    seen: dict[str, int] | None = None
    """What the newest scrape that worked saw."""
    truth: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SERIES, 0))
    """What a scrape can know: a restart takes with it what was counted since the scrape before."""
    all_restarts_show: bool = True
    history: list[tuple[float, dict[str, int] | None]] = field(default_factory=list)

    def count(self, increments: Iterable[int]) -> None:
        for name, amount in zip(SERIES, increments, strict=True):
            if amount:
                self.counts[name] = self.counts.get(name, 0) + amount

    def restart(self) -> None:
        self.counts = {"eager": 0}
        self.restarted = True

    def scrape(self, time: float) -> None:
        seen = dict(self.counts)
        self.history.append((time, seen))
        if self.seen is not None:
            base = {} if self.restarted else self.seen
            for name, value in seen.items():
                self.truth[name] += value - base.get(name, 0)
            falls = any(seen[name] < value for name, value in self.seen.items() if name in seen)
            self.all_restarts_show &= falls or not self.restarted
        self.seen, self.restarted = seen, False

    def fail_to_scrape(self, time: float) -> None:
        self.history.append((time, None))

    def answer(self, begin: float, end: float) -> Scrapes:
        """A raw range vector of (begin, end]."""
        part = [(time, seen) for time, seen in self.history if begin < time <= end]
        return Scrapes(
            target="pod",
            up=[Sample(time, float(seen is not None)) for time, seen in part],
            series=[
                Series(name=name, tallies=(name,), samples=found)
                for name in SERIES
                if (found := [Sample(time, float(seen[name])) for time, seen in part if seen and name in seen])
            ],
        )


@st.composite
def lives(draw: st.DrawFn) -> Pod:
    """A pod after up to 30 scrape intervals of requests, restarts, and scrapes that work, fail or are missed."""
    pod = Pod()
    for tick in range(draw(st.integers(1, 30))):
        pod.count(draw(st.tuples(st.integers(0, 20), st.integers(0, 3), st.integers(0, 1))))
        if draw(st.integers(0, 9)) == 0:
            pod.restart()
            pod.count(draw(st.tuples(st.integers(0, 20), st.integers(0, 3), st.integers(0, 1))))
        match draw(st.sampled_from(["scrape", "scrape", "scrape", "fail", "miss"])):
            case "scrape":
                pod.scrape(15.0 * tick)
            case "fail":
                pod.fail_to_scrape(15.0 * tick)
    return pod


def totals(ledger: Ledger) -> dict[str, float]:
    return {name: total(ledger, name) for name in SERIES}


@given(lives())
def test_counts_are_the_truth_when_restarts_show_and_never_more(pod: Pod) -> None:
    ledger = Ledger()
    ledger.absorb([pod.answer(ALWAYS, 1000)])
    found = totals(ledger)
    assert all(found[name] <= pod.truth[name] for name in SERIES)
    if pod.all_restarts_show:
        assert found == pod.truth


@given(lives(), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10)), max_size=20))
def test_how_often_one_asks_changes_nothing(pod: Pod, polls: list[tuple[int, int]]) -> None:
    """Answers that overlap by any number of intervals add up to what one answer to everything says."""
    at_once, bit_by_bit = Ledger(), Ledger()
    at_once.absorb([pod.answer(ALWAYS, 1000)])
    covered = ALWAYS
    for end, overlap in sorted(polls):
        bit_by_bit.absorb([pod.answer(min(covered, 15 * (end - overlap)) - 1, 15 * end)])
        covered = 15 * end
    bit_by_bit.absorb([pod.answer(covered - 1, 1000)])
    assert totals(bit_by_bit) == totals(at_once)


@given(lives())
def test_windows_add_up(pod: Pod) -> None:
    """What was counted after some time and what was counted up to it are everything."""
    ledger = Ledger()
    ledger.absorb([pod.answer(ALWAYS, 1000)])
    for name in SERIES:
        later = [ledger.total(name, after=15.0 * tick, since=ALWAYS) for tick in range(-1, 31)]
        assert later == sorted(later, reverse=True)
        assert (later[0], later[-1]) == (total(ledger, name), 0)

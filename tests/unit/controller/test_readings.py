from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from modelrollout.api.slo import Verdict
from modelrollout.api.status import SloStatus
from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.controller.queue import Priority
from modelrollout.controller.readings import ReadingsBoard
from modelrollout.engine.snapshot import Readings
from unit.controller.fake_cluster import KEY, START


class Board(ReadingsBoard):
    """A board, and the priorities with which it has called for looks."""

    def __init__(self, spread: float = 1.0) -> None:
        self.calls: list[Priority] = []
        self.metrics = OwnMetrics()
        super().__init__(enqueue=self._note, metrics=self.metrics, spread=lambda: spread)

    def counted(self) -> Counter[str]:
        """Readings counted in the operator's own metrics, by verdict."""
        totals: Counter[str] = Counter()
        for sample in (sample for metric in self.metrics.verdicts.collect() for sample in metric.samples):
            totals[sample.labels["verdict"]] += int(sample.value)
        return totals

    def _note(self, key: Any, priority: Priority) -> None:
        assert key == KEY
        self.calls.append(priority)


def slo(
    verdict: Verdict = Verdict.PASS, *, at: datetime = START, reason: str = "WithinLimit", name: str = "errors"
) -> SloStatus:
    return SloStatus(name=name, verdict=verdict, reason=reason, at=at)


def readings(*slos: SloStatus, seconds: float = 0, stage: int = 0) -> Readings:
    looked_at = START + timedelta(seconds=seconds)
    return Readings(attempt=1, stage=stage, looked_at=looked_at, by_slo={one.name: one for one in slos})


@pytest.fixture
def board() -> Board:
    board = Board()
    board.post(KEY, readings(slo()))
    assert len(board.calls) == 1
    return board


def test_the_same_again_calls_for_nobody_but_is_kept(board: Board) -> None:
    newer = readings(slo(at=START + timedelta(seconds=1)), seconds=1)
    board.post(KEY, newer)
    assert len(board.calls) == 1
    assert board.get(KEY) == newer


@pytest.mark.parametrize(
    "news",
    [
        pytest.param(readings(slo(Verdict.BREACH)), id="another verdict"),
        pytest.param(readings(slo(Verdict.PASS, reason="Other")), id="another reason"),
        pytest.param(readings(slo(), stage=1), id="another stage"),
        pytest.param(readings(), id="another list of SLOs"),
        pytest.param(readings(slo(), seconds=30), id="a value that the status may show by now"),
    ],
)
def test_news_call_for_a_look(board: Board, news: Readings) -> None:
    board.post(KEY, news)
    assert len(board.calls) == 2


def test_every_breach_on_new_samples_counts_and_the_same_one_does_not(board: Board) -> None:
    for number, seconds in enumerate((1, 2, 3), start=2):
        breach = slo(Verdict.BREACH, at=START + timedelta(seconds=seconds))
        board.post(KEY, readings(breach, seconds=seconds))
        board.post(KEY, readings(breach, seconds=seconds + 0.5))
        assert len(board.calls) == number


def test_a_breach_goes_before_all_other_news(board: Board) -> None:
    board.post(KEY, readings(slo(Verdict.INCONCLUSIVE, reason="NoTraffic")))
    board.post(KEY, readings(slo(Verdict.BREACH)))
    assert board.calls == [Priority.CHANGE, Priority.CHANGE, Priority.BREACH]


def test_what_is_no_news_is_spread_over_time() -> None:
    early, late = Board(spread=1.0), Board(spread=1.5)
    for board in (early, late):
        for seconds in (0, 30, 44):
            board.post(KEY, readings(slo(), seconds=seconds))
    assert (len(early.calls), len(late.calls)) == (2, 1)
    late.post(KEY, readings(slo(), seconds=45))
    assert len(late.calls) == 2


def test_only_readings_that_say_something_else_are_counted(board: Board) -> None:
    """Not what others say beside them, nor what is told again for the status."""
    later = START + timedelta(seconds=60)
    board.post(KEY, readings(slo(), slo(name="drift"), seconds=1))
    before = board.counted()
    board.post(KEY, readings(slo(), slo(name="drift", verdict=Verdict.BREACH), seconds=2))
    board.post(KEY, readings(slo(at=later), slo(name="drift", verdict=Verdict.BREACH), seconds=60))
    board.post(KEY, readings(slo(at=later), slo(name="drift", verdict=Verdict.BREACH, at=later), seconds=61))
    assert (board.counted()["Pass"], board.counted()["Breach"]) == (before["Pass"], before["Breach"] + 2)


def test_a_breach_waits_for_an_answer_since_it_was_first_seen(board: Board) -> None:
    """The polls after it see the same samples, and a worker that comes late is told by the newest of them."""
    for seconds in (10, 11, 12):
        board.post(KEY, readings(slo(Verdict.BREACH), seconds=seconds))
    assert board.answer(KEY, readings(slo(), seconds=9)) is None
    newest = board.get(KEY)
    assert newest
    board.post(KEY, readings(slo(Verdict.BREACH, at=START + timedelta(seconds=13)), seconds=13))
    assert board.answer(KEY, newest) == START + timedelta(seconds=10)
    board.post(KEY, readings(slo(Verdict.BREACH, at=START + timedelta(seconds=14)), seconds=14))
    newest = board.get(KEY)
    assert newest
    assert board.answer(KEY, newest) == START + timedelta(seconds=13)
    assert board.answer(KEY, newest) is None


def test_what_is_forgotten_is_news_again(board: Board) -> None:
    board.post(KEY, readings(slo(Verdict.BREACH)))
    board.forget(KEY)
    assert board.answer(KEY, readings(slo())) is None
    assert board.get(KEY) is None
    board.post(KEY, readings(slo()))
    assert len(board.calls) == 3

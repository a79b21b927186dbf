"""Many rollouts at once, from the first stage to the promotion, or back."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modelrollout.api.quantities import parse_duration
from modelrollout.api.slo import OnBreach, Slo
from modelrollout.api.strategy import OnDeadline
from modelrollout.judge.eprocess import PROVEN, Array
from modelrollout.simulation.books import Books, Weighed, Which, weighed
from modelrollout.simulation.requests import Counts, Rate, Rows, Traffic
from modelrollout.simulation.schedule import CLOSELY, LOOK, Leg, looks, scheduled_seconds
from modelrollout.simulation.verdicts import Verdicts, by_evidence, by_limit, pooled

_PATIENCE = 3600
"""Seconds beyond twice the holds after which a rollout that still waits is undecided for good."""

Told = Callable[[int], None]
"""Hears how many seconds of the schedule have passed since it was last called."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How the rollouts ended: minutes since each began, infinite for what did not happen."""

    promoted: Array
    taken_back: Array
    by_minute: Mapping[str, Counts]
    """What each SLO counts minute by minute as scheduled, whole minutes only: minute, then as `Counts`."""


def tried(
    planned: Sequence[Leg],
    slos: Sequence[Slo],
    rates: Mapping[str, Rate],
    *,
    per_second: float,
    runs: int,
    seed: int,
    told: Told = lambda _: None,
) -> Ended:
    """Let so many rollouts go through these stages; `rates` are by SLO, those that judge and no others."""
    traffic = Traffic(rates, per_second=per_second, runs=runs, minutes=scheduled_seconds(planned) // 60 + 1, seed=seed)
    return _Trials(planned, slos, traffic, runs).ended(told)


class _Judged:
    """One SLO over all rollouts: what was counted lately, its evidence, and its breaches in this stage."""

    def __init__(self, slo: Slo, traffic: Traffic, runs: int, *, proves: bool) -> None:
        self.slo = slo
        variation, block = traffic.noise[slo.name]
        self.books = Books(slo, variation=variation, block=block, proves=proves)
        self._window_seconds = parse_duration(slo.window).total_seconds()
        self._runs = runs
        self.enter()

    def enter(self) -> None:
        """A stage begins, and is judged afresh but for the evidence."""
        self.window, self.in_stage = np.zeros((4, self._runs)), np.zeros(self._runs)
        self._recent: deque[tuple[int, Rows, Array]] = deque()
        self._breaches, self._in_all = np.zeros(self._runs, dtype=int), np.zeros(self._runs, dtype=int)
        self.since = np.full(self._runs, np.inf)

    def count(self, counted: Array, rows: Rows, at: int) -> None:
        self.books.count(counted, rows)
        self.in_stage[rows] += counted[1]
        self.window[:, rows] += counted
        self._recent.append((at, rows, counted))
        while self._recent[0][0] <= at - self._window_seconds:
            _, before, gone = self._recent.popleft()
            self.window[:, before] -= gone

    def enough(self, said: Verdicts, rows: Rows, at: int) -> Which:
        """Which were breached as often as it takes; as the engine counts (`engine.slos`)."""
        self._breaches[rows] = np.where(said.passes, 0, self._breaches[rows] + said.breached)
        self._in_all[rows] += said.breached
        since = np.where(said.breached, np.minimum(self.since[rows], at), self.since[rows])
        self.since[rows] = np.where(said.passes, np.inf, since)
        breaches = self._breaches[rows]
        enough: Which = (breaches >= self.slo.breaches_needed) | (said.beyond_doubt & (breaches > 0))
        if self.slo.total_breaches is not None:
            enough |= self._in_all[rows] >= self.slo.total_breaches
        return enough


class _Trials:
    def __init__(self, planned: Sequence[Leg], slos: Sequence[Slo], traffic: Traffic, runs: int) -> None:
        self._planned, self._traffic, self._runs = planned, traffic, runs
        proves = any(leg.stage.proof for leg in planned)
        self._judged = [_Judged(slo, traffic, runs, proves=proves) for slo in slos]
        self._closely = not all(slo.is_sequential for slo in slos)
        self._entered = np.zeros(runs)  # seconds at which each has entered the present stage
        self._patience = 2 * scheduled_seconds(planned) + _PATIENCE
        self._under_way = np.ones(runs, dtype=bool)
        self._taken_back = np.full(runs, np.inf)
        self._may_leave, self._breached = np.zeros(runs, dtype=bool), np.zeros(runs, dtype=bool)
        minutes = scheduled_seconds(planned) // 60
        self._by_minute = {slo.name: np.zeros((minutes, 4, runs), dtype=np.int64) for slo in slos}

    def ended(self, told: Told) -> Ended:
        passed = 0
        for leg in self._planned:
            for one in self._judged:
                one.enter()
            self._hold(leg, passed, told)
            self._wait(leg, passed)
            passed += leg.seconds
        promoted = np.where(self._under_way, self._entered / 60, np.inf)
        return Ended(promoted=promoted, taken_back=self._taken_back / 60, by_minute=self._by_minute)

    def _hold(self, leg: Leg, passed: int, told: Told) -> None:
        """The hold of a stage: all get their requests, so that others may judge them, too."""
        self._may_leave[:] = not self._judges(leg)
        for at, seconds in looks(leg.seconds, closely=self._closely):
            minute = (passed + at - seconds) // 60
            counted = self._traffic.scheduled(share=leg.share, minute=minute, seconds=seconds)
            for name, counts in counted.items():
                if minute < len(self._by_minute[name]):
                    self._by_minute[name][minute] += counts
            rows = np.flatnonzero(self._under_way)
            self._look(leg, {name: counts[:, rows] for name, counts in counted.items()}, rows, at)
            told(seconds)

    def _wait(self, leg: Leg, passed: int) -> None:
        """Who may leave the stage does; the others stay until they may, are taken back or out of patience."""
        at = leg.seconds
        waiting = np.flatnonzero(self._under_way)
        while True:
            waiting = self._sorted_out(leg, waiting, at)
            if not len(waiting):
                return
            step = LOOK if at - leg.seconds < CLOSELY else 60
            minute = (passed + at) // 60
            counted = self._traffic.further(waiting, share=leg.share, minute=minute, seconds=step)
            at += step
            self._look(leg, dict(counted), waiting, at)

    def _sorted_out(self, leg: Leg, waiting: Rows, at: int) -> Rows:
        """Those who stay, after the others went on or back."""
        waiting = waiting[self._under_way[waiting]]
        leaving, deadline = self._may_leave[waiting], leg.stage.deadline
        if deadline is not None and at >= deadline.total_seconds():
            if leg.stage.on_deadline is OnDeadline.ADVANCE:
                leaving |= ~self._breached[waiting]
            if leg.stage.on_deadline is OnDeadline.REVERT:
                self._take_back(waiting[~leaving], at)
        gone = waiting[leaving]
        for one in self._judged:
            one.books.turn(gone)
        self._entered[gone] += at
        staying = waiting[~leaving & self._under_way[waiting]]
        self._under_way[staying[self._entered[staying] + at >= self._patience]] = False
        return staying[self._under_way[staying]]

    def _judges(self, leg: Leg) -> list[_Judged]:
        """Who judges in this stage; nobody where the candidate has no requests."""
        return [one for one in self._judged if leg.share and one.slo.applies_in(leg.stage.name)]

    def _look(self, leg: Leg, counted: dict[str, Counts], rows: Rows, at: int) -> None:
        """Count, judge, take back who is harmful, and see who may leave."""
        judges = self._judges(leg)
        for one in judges:
            counts = counted[one.slo.name].astype(np.float64)
            if leg.stage.match:  # whoever is let in by header is not to be compared with the public
                counts[2:] = 0
            one.count(counts, rows, at)
        said_by = weighed({one.slo.name: one.books for one in judges if one.slo.is_sequential}, rows, at=at)
        decides = pooled({one.slo.name: one.slo for one in judges}, said_by)
        back, held, breached = (np.zeros(len(rows), dtype=bool) for _ in range(3))
        leave = np.ones(len(rows), dtype=bool)
        for one in judges:
            said = _said(one, rows, said_by, decides)
            enough = one.enough(said, rows, at)
            back |= said.breached & enough & _takes_back(one, rows, at)
            held |= enough
            breached |= said.breached
            if leg.stage.required_slos is None or one.slo.name in leg.stage.required_slos:
                leave &= said.passes
                if leg.stage.proof and one.slo.baseline:
                    leave &= one.books.not_twice_as_bad(rows) >= PROVEN
        self._may_leave[rows], self._breached[rows] = leave & ~held, breached
        self._take_back(rows[back], at)

    def _take_back(self, rows: Rows, at: int) -> None:
        self._taken_back[rows] = self._entered[rows] + at
        self._under_way[rows] = False


def _said(one: _Judged, rows: Rows, said_by: Mapping[str, Weighed], decides: Mapping[str, Array]) -> Verdicts:
    name, window = one.slo.name, one.window[:, rows]
    if name not in said_by:
        return by_limit(one.slo, window)
    return by_evidence(one.slo, window, one.in_stage[rows], said_by[name], decides[name])


def _takes_back(one: _Judged, rows: Rows, at: int) -> Which | bool:
    """Whether a breach that counts takes the candidate back now."""
    if one.slo.on_breach is OnBreach.REVERT:
        return True
    if one.slo.revert_after is None:
        return False
    late: Which = at - one.since[rows] >= parse_duration(one.slo.revert_after).total_seconds()
    return late

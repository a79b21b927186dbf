"""How much stable's rates vary, read off what Prometheus has of its past: once an attempt and SLO."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from modelrollout.api.slo import Slo
from modelrollout.judge.noise import PAST_MINUTES, UNKNOWN, Noise, calibrate
from modelrollout.metrics.batch import Feed, Question, absorb, past
from modelrollout.metrics.prometheus import Matrix, Source

_MINUTE = 60.0


async def read_noise(
    source: Source, slos: Sequence[Slo], stable: Feed, *, serving_since: datetime, now: datetime
) -> Mapping[str, Noise] | None:
    """The noise of each of these SLOs, whose series are those of a feed of stable; None without an answer.

    The past is counted like the present, by a ledger, in steps of a minute.
    """
    minutes = min(PAST_MINUTES, math.floor((now - serving_since) / timedelta(minutes=1)))
    if minutes < 1:
        return dict.fromkeys((slo.name for slo in slos), UNKNOWN)
    before = Feed(
        template=stable.template,
        arm=stable.arm,
        wanted=stable.wanted,
        since=-math.inf,
        window=minutes * _MINUTE,
    )
    answer = await source.matrix(past(before, minutes=minutes))
    if not isinstance(answer, Matrix):
        return None
    absorb(Question(promql="", feeds=(before,)), answer, now=now.timestamp())
    edges = [now.timestamp() - age * _MINUTE for age in range(minutes, -1, -1)]

    return {slo.name: _noise(slo, before, edges) for slo in slos}


def _noise(slo: Slo, before: Feed, edges: Sequence[float]) -> Noise:
    meter = before.template.meter(slo, before.seen)
    if meter is None:
        return UNKNOWN
    tallies = {tally: before.ledger.binned(tally, edges) for tally in meter.wanted(slo)}
    by_minute = [meter.bad_of_all(slo, partial(_at, tallies, minute)) for minute in range(len(edges) - 1)]
    return calibrate([bad for bad, _ in by_minute], [total for _, total in by_minute])


def _at(tallies: Mapping[str, Sequence[float]], minute: int, tally: str) -> float:
    return tallies[tally][minute]

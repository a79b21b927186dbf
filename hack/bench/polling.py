"""What it costs to judge many rollouts on one Prometheus, beside the bare answers and beside a query for each SLO."""

import asyncio
import json
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median, quantiles
from typing import Any

import httpx

import testbed
from modelrollout.api.slo import Slo
from modelrollout.api.spec import ServerKind
from modelrollout.api.status import Colour
from modelrollout.engine.effects import Watch
from modelrollout.engine.snapshot import Readings
from modelrollout.metrics.access import Access
from modelrollout.metrics.poller import Poller
from modelrollout.metrics.prometheus import Matrix, Prometheus, Trouble
from modelrollout.metrics.watched import Key, Target
from stack.operator_process import eventually
from testbed.daemons import Daemon
from testbed.progress import step

from . import pods
from .usage import cpu_seconds

_WARM_UP_SECONDS = 45.0
"""The first questions go back far, and stable's past is asked for then."""

_SLOS: list[dict[str, Any]] = [
    {"name": "errors", "metric": "error-ratio", "limit": "2%", "baseline": {"maxIncrease": "25%"}},
    {"name": "slow", "metric": "latency", "slowerThan": "1s", "limit": "60%", "baseline": {"maxIncrease": "25%"}},
    {
        "name": "dismissed",
        "counter": {"bad": 'dismissed_total{reason="noise"}', "total": "alerts_total"},
        "baseline": {"maxIncrease": "25%"},
    },
]
_PEERS = (
    'sum(rate(rest_server_requests_total{pod=~"NAME-green-.*",status_code="500"}[1m]))'
    '/sum(rate(rest_server_requests_total{pod=~"NAME-green-.*"}[1m]))',
    'sum(rate(rest_server_request_duration_seconds_bucket{pod=~"NAME-green-.*",le="1"}[1m]))'
    '/sum(rate(rest_server_request_duration_seconds_count{pod=~"NAME-green-.*"}[1m]))',
    'sum(rate(dismissed_total{pod=~"NAME-green-.*"}[1m]))/sum(rate(alerts_total{pod=~"NAME-green-.*"}[1m]))',
)
"""How those ask who have a query for each metric of each rollout."""
_PEERS_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True)
class Polling:
    """Many rollouts in progress, each with three SLOs on counts of four pods."""

    rollouts: int
    seconds: float
    polls: int
    queries_a_poll: float
    poll_p50: float
    """Seconds from the first question of a poll to the last answer, decoded."""
    poll_p99: float
    cores: float
    memory_mib: float
    passing: int
    """SLOs that pass, of all."""
    bare_p50: float = 0.0
    """Seconds until the bare answers to the same questions are there, asked one after the other."""
    peers: float = 0.0
    """Seconds for a query for each SLO of each rollout, four at a time."""
    prometheus_cores: float = 0.0
    """Of Prometheus, while it is polled and scrapes."""


def measure_polling(bed: testbed.Bed, *, rollouts: int, seconds: float) -> Polling:
    """Poll in a process of its own, as the operator does; then ask bare, and as others do."""
    with pods.serving(rollouts) as scraped:
        url = bed.start_prometheus(scraped)
        with step(f"{rollouts} rollouts are scraped"):
            asked = {"query": f'sum(rest_server_requests_total{{pod="{pods.rollout(rollouts - 1)}-green-1"}})'}
            seen = f"{url}/api/v1/query"
            eventually(
                lambda: httpx.get(seen, params=asked, trust_env=False).json()["data"]["result"], "the first scrape"
            )
        with step(f"their {rollouts * len(_SLOS)} SLOs are judged for {seconds:g} s"):
            before, begun = _cpu_of_prometheus(bed), time.monotonic()
            argv = [sys.executable, "-m", "bench.polling", url, str(rollouts), str(seconds)]
            told = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
            cores = (_cpu_of_prometheus(bed) - before) / (time.monotonic() - begun)
        questions = told.pop("questions")
        with step("the same is asked bare, and as others do"):
            return Polling(
                **told,
                prometheus_cores=cores,
                bare_p50=_bare(url, questions),
                peers=_as_others_do(url, rollouts),
            )


def _bare(url: str, questions: list[str], *, times: int = 10) -> float:
    took = []
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        for _ in range(times):
            begun = time.monotonic()
            for question in questions:
                client.post("/api/v1/query", data={"query": question}).raise_for_status()
            took.append(time.monotonic() - begun)
    return median(took)


def _as_others_do(url: str, rollouts: int) -> float:
    queries = [query.replace("NAME", pods.rollout(number)) for number in range(rollouts) for query in _PEERS]
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client, ThreadPoolExecutor(_PEERS_AT_ONCE) as pool:
        begun = time.monotonic()
        for answer in pool.map(lambda query: client.post("/api/v1/query", data={"query": query}), queries):
            if not answer.json()["data"]["result"]:
                raise testbed.BedError(f"Prometheus has nothing of {answer.request.content!r}")
        return time.monotonic() - begun


class _Counted(Prometheus):
    """Prometheus, with what it was asked for and for how long."""

    def __init__(self, url: str) -> None:
        super().__init__(Access(url=url))
        self.asked: list[tuple[str, float, float]] = []
        """Of each question when it was asked and when it was answered."""

    async def matrix(self, promql: str) -> Matrix | Trouble:
        begun = time.monotonic()
        answer = await super().matrix(promql)
        self.asked.append((promql, begun, time.monotonic()))
        return answer


async def _poll(url: str, rollouts: int, seconds: float) -> dict[str, Any]:
    readings: dict[Key, Readings] = {}
    source = _Counted(url)
    poller = Poller(source, readings.__setitem__)
    for number in range(rollouts):
        poller.watch((pods.NAMESPACE, pods.rollout(number)), _target())
    polling = asyncio.create_task(poller.run())
    await asyncio.sleep(_WARM_UP_SECONDS)
    source.asked.clear()
    cpu, begun = _own_cpu(), time.monotonic()
    await asyncio.sleep(seconds)
    took = time.monotonic() - begun
    cores, asked = (_own_cpu() - cpu) / took, list(source.asked)
    polling.cancel()
    polls = _polls(asked)
    lasted = [max(end for *_, end in poll) - min(start for _, start, _ in poll) for poll in polls]
    verdicts = [slo.verdict for one in readings.values() for slo in one.by_slo.values()]
    return {
        "rollouts": rollouts,
        "seconds": took,
        "polls": len(polls),
        "queries_a_poll": len(asked) / len(polls),
        "poll_p50": median(lasted),
        "poll_p99": quantiles(lasted, n=100)[-1],
        "cores": cores,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "passing": sum(verdict == "Pass" for verdict in verdicts),
        "questions": [promql for promql, *_ in polls[-1]],
    }


def _polls(asked: list[tuple[str, float, float]]) -> list[list[tuple[str, float, float]]]:
    """Questions that were asked together; the last poll may be cut off, and is left out."""
    polls: list[list[tuple[str, float, float]]] = []
    end = float("-inf")
    for one in sorted(asked, key=lambda one: one[1]):
        if one[1] > end:
            polls.append([])
        polls[-1].append(one)
        end = max(end, one[2])
    return polls[:-1]


def _target() -> Target:
    now = datetime.now(UTC)
    watch = Watch(
        attempt=pods.ATTEMPTS["green"],
        stage=0,
        stable=Colour.BLUE,
        candidate=Colour.GREEN,
        since=now,
        stable_attempt=pods.ATTEMPTS["blue"],
        stable_since=now,
    )
    return Target(watch=watch, slos=tuple(Slo.model_validate(slo) for slo in _SLOS), server=ServerKind.MLSERVER)


def _cpu_of_prometheus(bed: testbed.Bed) -> float:
    running = Daemon("prometheus", bed.folder).identity()
    return cpu_seconds(running.pid) if running else 0.0


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_poll(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))))

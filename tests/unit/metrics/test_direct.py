"""Which pods are scraped directly, how often, and what a poller makes of it, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from modelrollout.api.scrapes import DirectScrapes
from modelrollout.api.slo import BuiltInMetric, MetricSource, Slo
from modelrollout.api.status import Colour, SloStatus
from modelrollout.metrics.direct import MOST_PODS, Direct
from modelrollout.metrics.poller import Poller
from modelrollout.metrics.prometheus import RawSeries, Unavailable
from modelrollout.metrics.scrapes import Scraper, Wanted
from modelrollout.metrics.templates import Arm
from support.pod_servers import Listed, PodServer, hangs, says, serving
from unit.metrics.test_poller import FRAUD, START, Bench, target

ERRORS = Slo(name="errors", metric=BuiltInMetric.ERROR_RATIO, limit="1%", min_samples=1)
SCRAPES = DirectScrapes(interval="1s")
CANDIDATE = Arm(namespace="ml", rollout="fraud", colour=Colour.GREEN, attempt=3)
STABLE = Arm(namespace="ml", rollout="fraud", colour=Colour.BLUE, attempt=2)
WANTED = Wanted(names=frozenset({"requests_total"}), edges=frozenset())
NOT_FOUND = says("", status="404 Not Found")


def page(good: int, bad: int) -> str:
    """What MLServer says after so many requests."""
    counted = {"200": good, "500": bad}
    return (
        "".join(
            f'rest_server_requests_total{{method="POST",path="/infer",status_code="{code}"}} {count}\n'
            for code, count in counted.items()
            if count
        )
        or "# nothing yet\n"
    )


class Scene(Bench):
    """A poller that scrapes one pod of each version, and a Prometheus of the test's own making."""

    def __init__(self, candidate: PodServer, stable: PodServer) -> None:
        super().__init__()
        self.candidate, self.stable = candidate, stable
        self.pods = Listed(green=[candidate.manifest], blue=[stable.manifest])
        self.scraper = Scraper(self.pods)
        self.poller = Poller(
            self.source,
            lambda key, readings: self.told.append((key, readings)),
            interval=timedelta(milliseconds=1),
            scraper=self.scraper,
            clock=lambda: self.now,
        )

    def watch(self, *slos: Slo, scrapes: DirectScrapes | None = SCRAPES) -> None:
        served_by = frozenset({"gateway.envoyproxy.io/gatewayclass-controller"})
        self.poller.watch(FRAUD, replace(target(*(slos or (ERRORS,))), controllers=served_by, direct=scrapes))

    def status(self) -> SloStatus | None:
        return self.told[-1][1].by_slo.get("errors") if self.told else None

    @property
    def message(self) -> str:
        """What the SLO said last."""
        said = self.status()
        return said.message if said else ""

    async def until_asked(self, pod: PodServer, more: int = 1) -> None:
        """Until the pod has been asked again, and a moment later."""
        before = len(pod.asked)
        await self.until(lambda: len(pod.asked) >= before + more, "scraped again")
        self.now += timedelta(seconds=1)

    async def until_said(self, verdict: str, reason: str) -> SloStatus:
        await self.until(
            lambda: (said := self.status()) is not None and (said.verdict, said.reason) == (verdict, reason), reason
        )
        said = self.status()
        assert said
        return said


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with (
        serving("fraud-green-1", says(page(0, 0))) as candidate,
        serving("fraud-blue-1", says(page(1000, 1))) as stable,
        Scene(candidate, stable).polling() as scene,
    ):
        assert isinstance(scene, Scene)
        yield scene
        await scene.scraper.close()


async def test_every_request_fails_while_prometheus_is_down(scene: Scene) -> None:
    """The first scrape after the failures is enough."""
    scene.source.down = True
    scene.watch()
    await scene.until_asked(scene.candidate)
    scene.candidate.answer = says(page(0, 10))
    begun = len(scene.candidate.asked)
    said = await scene.until_said("Breach", "EveryRequestFails")
    assert said.message.startswith("10 of 10 requests failed")
    assert len(scene.candidate.asked) == begun + 1


async def test_a_prometheus_that_hangs_keeps_no_direct_scrape_waiting(scene: Scene) -> None:
    scene.source.hangs = lambda _: True
    scene.watch()
    await scene.until_asked(scene.candidate, more=2)


async def test_what_prometheus_says_of_the_same_requests_is_not_counted_as_well(scene: Scene) -> None:
    scene.watch()
    await scene.until_asked(scene.candidate)
    scene.candidate.answer = says(page(98, 2))
    await scene.until(lambda: scene.message.startswith("2 of 100 requests failed"), "counted")
    scene.source.series = [of_prometheus(code, scene, 0, count) for code, count in ((200, 98), (500, 2))]
    await scene.polls(4)
    await scene.until_asked(scene.candidate)
    assert scene.message.startswith("2 of 100 requests failed")


def of_prometheus(code: int, scene: Scene, *values: float) -> RawSeries:
    labels = {
        "__name__": "rest_server_requests_total",
        "instance": f"127.0.0.1:{scene.candidate.port}",
        "job": "pods",
        "method": "POST",
        "modelrollout_io_attempt": "3",
        "modelrollout_io_colour": "green",
        "modelrollout_io_name": "fraud",
        "namespace": "ml",
        "path": "/infer",
        "pod": "fraud-green-1",
        "status_code": str(code),
    }
    return RawSeries(labels, [(START.timestamp() + second, str(value)) for second, value in enumerate(values)])


@pytest.mark.parametrize(
    ("answer", "words"), [(NOT_FOUND, "it answers 404 Not Found"), (hangs, "no answer within 0.75 s")]
)
async def test_where_pods_cannot_be_scraped_prometheus_is_read_and_that_is_said(
    scene: Scene, answer: Any, words: str
) -> None:
    scene.candidate.answer = answer
    scene.source.series = [of_prometheus(200, scene, 0, 90), of_prometheus(500, scene, 0, 10)]
    scene.watch()
    scene.now = START + timedelta(seconds=2)
    await scene.until_said("Breach", "AboveLimit")
    await scene.until(lambda: words in scene.message, words)
    assert scene.message.startswith("10 of 100 requests failed")
    assert "direct scrapes do not work, so Prometheus is read: pod fraud-green-1, http://127.0.0.1" in scene.message


async def test_a_refusal_is_no_verdict(scene: Scene) -> None:
    scene.candidate.answer = NOT_FOUND
    scene.source.down = True
    scene.watch()
    await scene.until_said("Inconclusive", "PrometheusUnavailable")
    await scene.until(lambda: "404 Not Found" in scene.message, "404 Not Found")
    assert {readings.by_slo["errors"].verdict for _, readings in scene.told} == {"Inconclusive"}


@pytest.mark.parametrize(
    ("slo", "scrapes"),
    [(ERRORS, None), (ERRORS.model_copy(update={"source": MetricSource.GATEWAY}), SCRAPES)],
)
async def test_pods_are_left_alone_where_nobody_wants_it_or_the_gateway_is_read(
    scene: Scene, slo: Slo, scrapes: DirectScrapes | None
) -> None:
    scene.watch(slo, scrapes=scrapes)
    await scene.polls(20)
    await asyncio.sleep(0.3)
    assert scene.pods.lists == 0
    assert scene.candidate.asked == []


async def test_nobody_is_scraped_after_the_end(scene: Scene) -> None:
    scene.watch()
    await scene.until_asked(scene.stable)
    scene.poller.unwatch(FRAUD)
    await asyncio.sleep(1.2)  # what was under way
    asked = len(scene.stable.asked)
    await asyncio.sleep(1.2)
    assert len(scene.stable.asked) == asked


@asynccontextmanager
async def looking(*pods: PodServer, scrapes: DirectScrapes = SCRAPES) -> AsyncIterator[tuple[Direct, Scraper, Listed]]:
    listed = Listed(green=[pod.manifest for pod in pods])
    scraper = Scraper(listed)
    try:
        yield Direct(scrapes, (CANDIDATE, STABLE), 0.0), scraper, listed
    finally:
        await scraper.close()


async def look(direct: Direct, scraper: Scraper, at: float = 0.0) -> dict[str, float]:
    """By pod of the candidate: whether it could be scraped."""
    found = await direct.look(scraper, WANTED, clock=lambda: at)
    return {one.labels["pod"]: float(one.samples[0][1]) for one in found[CANDIDATE] if one.labels["__name__"] == "up"}


async def test_pods_are_listed_when_they_may_have_changed_and_not_otherwise() -> None:
    async with serving("a", says("")) as one, serving("b", says("")) as other, looking(one) as (direct, scraper, pods):
        assert await look(direct, scraper) == await look(direct, scraper, at=2) == {"a": 1.0}
        assert pods.lists == 2  # one of each version
        pods.pods[Colour.GREEN] = [other.manifest]
        pods.change()
        assert await look(direct, scraper, at=4) == {"b": 1.0}
        assert pods.lists == 4


async def test_a_pod_that_hangs_delays_no_other_and_is_asked_less_often() -> None:
    async with serving("a", hangs) as stuck, serving("b", says("")) as other, looking(stuck, other) as (direct, it, _):
        assert await look(direct, it, at=0) == {"a": 0.0, "b": 1.0}
        asked = [second for second in range(1, 40) if "a" in await look(direct, it, at=second)]
        assert len(asked) < 10
        assert max(later - earlier for earlier, later in pairwise(asked)) <= 11
        stuck.answer = says("")
        assert await look(direct, it, at=100) == {"a": 1.0, "b": 1.0}
        assert direct.problem == "the version blue has no pod that runs"


async def test_of_many_pods_so_many_are_scraped_and_no_old_one_takes_the_place_of_another() -> None:
    """What it has counted before it was looked at would count as new."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serving(f"p{number:02}", says(""))) for number in range(24)]
        direct, scraper, pods = await stack.enter_async_context(looking(*servers[:22]))
        first = {f"p{number:02}" for number in range(MOST_PODS)}
        assert (await look(direct, scraper)).keys() == first
        pods.pods[Colour.GREEN] = [server.manifest for server in servers[1:]]
        pods.change()
        assert (await look(direct, scraper, at=2)).keys() == first - {"p00"} | {"p22"}


async def test_pods_that_end_or_have_no_address_are_not_scraped() -> None:
    async with serving("a", says("")) as one, looking(one) as (direct, scraper, pods):
        ending = {**one.manifest, "metadata": {**one.manifest["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
        waiting = {**one.manifest, "status": {"phase": "Pending"}}
        for manifest in (ending, waiting):
            pods.pods[Colour.GREEN] = [manifest]
            pods.change()
            assert await look(direct, scraper) == {}
            assert direct.problem == "the version green has no pod that runs"


async def test_a_list_that_fails_is_said_and_tried_again_after_a_while() -> None:
    async with serving("a", says("")) as one, looking(one) as (direct, scraper, pods):
        pods.trouble = Unavailable("the pods cannot be listed: forbidden")
        assert await look(direct, scraper) == {}
        assert direct.problem == "the pods cannot be listed: forbidden"
        pods.trouble = None
        assert await look(direct, scraper, at=1) == {}
        assert await look(direct, scraper, at=11) == {"a": 1.0}


async def test_a_pod_without_such_a_port_is_said_with_the_fix() -> None:
    async with (
        serving("a", says("")) as one,
        looking(one, scrapes=DirectScrapes(port="http", interval="1s")) as (direct, scraper, _),
    ):
        assert await look(direct, scraper) == {}
        assert direct.problem.endswith("no port named http, but none with a name: set spec.directScrapes.port")


def test_scrapes_are_rarer_later_in_a_stage() -> None:
    direct = Direct(DirectScrapes(), (CANDIDATE, STABLE), since=1000.0)
    assert (direct.interval(1000.0), direct.interval(1599.0), direct.interval(1600.0)) == (2.0, 2.0, 6.0)

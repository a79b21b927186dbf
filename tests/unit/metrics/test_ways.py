"""Two ways to read the same counters: whichever counts, the truth is counted once."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelrollout.api.status import Colour
from modelrollout.metrics.batch import Feed
from modelrollout.metrics.prometheus import RawSeries, Unavailable
from modelrollout.metrics.readings import Arms
from modelrollout.metrics.templates import ATTEMPT_LABEL, COLOUR_LABEL, NAME_LABEL, Arm, load
from modelrollout.metrics.ways import Ways

START = 1_000_000.0
TEMPLATE = load("mlserver")
REQUESTS, FAILED = "requests in rest_server_requests_total", "failed in rest_server_requests_total"
LASTS = 2.5
"""Seconds that a direct scrape, of which there is one a second, tells of the present."""
EVERY = 4
"""Seconds between scrapes of Prometheus."""

ARMS = {colour: Arm(namespace="ml", rollout="fraud", colour=colour, attempt=3) for colour in Colour}


def feed(colour: Colour) -> Feed:
    return Feed(template=TEMPLATE, arm=ARMS[colour], wanted=frozenset({REQUESTS, FAILED}), since=0.0, window=1e9)


def arms() -> Arms:
    return Arms(candidate=feed(Colour.GREEN), stable=feed(Colour.BLUE))


@dataclass
class Pod:
    """A pod of a version, whose counter of failures appears with the first one."""

    colour: Colour
    number: int
    counts: dict[int, int] = field(default_factory=lambda: {200: 0})

    def answer(self, good: int, bad: int) -> None:
        for code, amount in ((200, good), (500, bad)):
            if amount:
                self.counts[code] = self.counts.get(code, 0) + amount

    def says(self, time: float, *, up: bool, direct: bool) -> list[RawSeries]:
        """What a scrape shows. Prometheus adds labels, of which one is in the way of the pod's own."""
        of_target = {
            "namespace": "ml",
            "pod": f"fraud-{self.colour}-{self.number}",
            "instance": f"10.0.{int(self.colour is Colour.GREEN)}.{self.number}:8082",
            NAME_LABEL: "fraud",
            COLOUR_LABEL: self.colour.value,
            ATTEMPT_LABEL: "3",
        }
        more = {} if direct else {"job": "pods", "container": "server", "pod_template_hash": "5d8f7c6b9"}
        taken = "job" if direct else "exported_job"
        own = {"__name__": "rest_server_requests_total", "method": "POST", "path": "/infer", taken: "nightly"}
        series = [RawSeries({"__name__": "up", **of_target, **more}, [(time, str(int(up)))])]
        for code, count in self.counts.items() if up else ():
            labels = {**own, "status_code": str(code), **of_target, **more}
            series.append(RawSeries(labels, [(time, str(count))]))
        return series


@dataclass
class Scene:
    """Two pods of each version, seen both ways second by second."""

    skew: float = 0.0
    """Seconds by which the clock of Prometheus is ahead."""
    now: float = START
    ways: Ways = field(default_factory=lambda: Ways(prometheus=arms(), direct=arms()))
    pods: list[Pod] = field(default_factory=lambda: [Pod(colour, number) for colour in Colour for number in (1, 2)])

    def ask_prometheus(self, *, up: bool = True) -> None:
        for one in (self.ways.prometheus.candidate, self.ways.prometheus.stable):
            if up:
                one.absorb(self._said(one, self.now + self.skew, up=True, direct=False), self.now)
            else:
                one.fail(Unavailable("it is down"))

    def scrape(self, *, up: bool = True) -> None:
        assert self.ways.direct
        for one in (self.ways.direct.candidate, self.ways.direct.stable):
            one.absorb(self._said(one, self.now, up=up, direct=True), self.now)

    def choose(self) -> None:
        self.ways.choose(self.now, lasts=LASTS)

    def counted(self, colour: Colour) -> tuple[float, float]:
        ours = self.ways.arms.candidate if colour is Colour.GREEN else self.ways.arms.stable
        bad, total = (ours.ledger.total(tally, after=-math.inf, since=-math.inf) for tally in (FAILED, REQUESTS))
        return bad, total

    def _said(self, one: Feed, time: float, *, up: bool, direct: bool) -> Iterable[RawSeries]:
        pods = (pod for pod in self.pods if pod.colour is one.arm.colour)
        return chain.from_iterable(pod.says(time, up=up, direct=direct) for pod in pods)


SECONDS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=4, max_size=4),
        st.booleans(),
        st.booleans(),
    ),
    max_size=20,
)
"""Second by second: good and bad answers of each pod, and whether pods and Prometheus can be asked."""


@given(SECONDS, st.floats(-3, 3), st.integers(0, EVERY - 1), st.sets(st.integers(0, 40), max_size=2))
@settings(max_examples=40)
def test_whichever_way_counts_everything_is_counted_once(
    seconds: list[tuple[list[tuple[int, int]], bool, bool]], skew: float, phase: int, restarts: set[int]
) -> None:
    """What a pod takes with it when it restarts may be lost; what is there is never counted twice."""
    scene = Scene(skew=skew)
    scene.ask_prometheus(up=False)
    scene.scrape()
    scene.choose()
    truth: dict[Colour, tuple[float, float]] = dict.fromkeys(Colour, (0, 0))
    # Each way stays up or down for a while, since a switch takes one.
    for second, (answers, pods_up, prometheus_up) in enumerate(one for one in seconds for _ in range(EVERY)):
        scene.now += 1
        for pod, (good, bad) in zip(scene.pods, answers, strict=True):
            pod.answer(good, bad)
            before = truth[pod.colour]
            truth[pod.colour] = (before[0] + bad, before[1] + good + bad)
        if second in restarts:
            scene.pods[0].counts = {200: 0}
        scene.scrape(up=pods_up)
        if second % EVERY == phase:
            scene.ask_prometheus(up=prometheus_up)
        scene.choose()
        for colour in Colour:
            assert all(said <= true for said, true in zip(scene.counted(colour), truth[colour], strict=True))
    for pods_up in (True, False):
        for _ in range(40):  # long enough for clocks to matter no more
            scene.now += 1
            scene.scrape(up=pods_up)
            scene.ask_prometheus()
            scene.choose()
        assert scene.ways.is_direct is pods_up
        for colour in set(Colour) - ({scene.pods[0].colour} if restarts else set()):
            assert scene.counted(colour) == truth[colour]


def without_pods(scene: Scene, *, restart: bool = False) -> None:
    """The pods cannot be asked for a while, in which they answer, and Prometheus counts."""
    if restart:
        scene.pods[-1].counts = {200: 0}
    for _ in range(40 if restart else 6):
        scene.now += 1
        scene.pods[-1].answer(3, 1)
        scene.scrape(up=False)
        scene.ask_prometheus()
        scene.choose()


def begun() -> Scene:
    scene = Scene()
    scene.pods[-1].answer(100, 10)
    scene.ask_prometheus()
    scene.scrape()
    scene.choose()
    assert scene.ways.is_direct
    return scene


def test_prometheus_takes_over_from_where_the_last_scrape_was() -> None:
    scene = begun()
    candidate = scene.pods[-1].colour
    scene.now += 1
    scene.pods[-1].answer(5, 5)
    scene.scrape()
    scene.choose()
    assert scene.counted(candidate) == (5, 10)
    without_pods(scene)
    assert not scene.ways.is_direct
    assert scene.counted(candidate) == (5 + 6, 10 + 24)


def test_what_was_counted_before_the_other_way_began_stays() -> None:
    scene = Scene()
    candidate = scene.pods[-1].colour
    scene.ask_prometheus(up=False)
    scene.scrape()
    scene.choose()
    scene.now += 1
    scene.pods[-1].answer(5, 5)
    scene.scrape()
    without_pods(scene)
    assert not scene.ways.is_direct
    assert scene.counted(candidate) == (5 + 6, 10 + 24)


def test_what_a_pod_has_counted_since_it_restarted_counts_whole() -> None:
    scene = begun()
    without_pods(scene, restart=True)
    assert not scene.ways.is_direct
    assert scene.counted(scene.pods[-1].colour) == (40, 160)


def test_prometheus_does_not_take_over_with_what_it_saw_before_the_last_scrape() -> None:
    scene = begun()
    scene.pods[-1].answer(0, 4)
    scene.now += 1
    scene.scrape()
    for _ in range(6):
        scene.now += 1
        scene.scrape(up=False)
        scene.choose()
    assert scene.ways.is_direct
    assert scene.counted(scene.pods[-1].colour) == (4, 4)


def test_direct_scrapes_wait_until_prometheus_has_told_what_was_before() -> None:
    scene = Scene()
    scene.scrape()
    scene.choose()
    assert not scene.ways.is_direct
    scene.ask_prometheus(up=False)
    scene.choose()
    assert scene.ways.is_direct


def test_nobody_waits_for_prometheus_where_direct_scrapes_saw_the_beginning_of_the_stage() -> None:
    scene = Scene()
    for one in scene.ways.feeds:
        one.since = START - 2
    scene.scrape()
    scene.choose()
    assert scene.ways.is_direct


@pytest.mark.parametrize("silent", Colour)
def test_both_versions_are_counted_the_same_way(silent: Colour) -> None:
    scene = Scene()
    scene.ask_prometheus()
    assert scene.ways.direct
    one = scene.ways.direct.stable if silent is Colour.GREEN else scene.ways.direct.candidate
    one.absorb(scene.pods[0].says(START, up=True, direct=True), START)
    scene.choose()
    assert not scene.ways.is_direct


def test_pods_that_only_one_of_the_ways_sees_are_counted_by_it() -> None:
    scene = begun()
    candidate = scene.pods[-1].colour
    new = Pod(candidate, 3)
    scene.pods.append(new)
    for _ in range(2):  # a target that comes later counts whole once it is known how often there are scrapes
        scene.now += 1
        scene.scrape()
    new.answer(1, 2)
    scene.now += 1
    scene.scrape()
    scene.choose()
    assert scene.counted(candidate) == (2, 3)

"""One acts at a time, whatever happens to processes, clocks and requests."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelrollout.api.objects import Live, Manifest
from modelrollout.controller.client import KubeApi, UnavailableError
from modelrollout.controller.kinds import LEASES, Key, Kind
from modelrollout.controller.leadership import Leadership
from unit.controller.fake_cluster import FakeApi
from unit.controller.virtual_time import in_virtual_time

T = TypeVar("T")

LEASE = Key("operators", "modelrollout")
DURATION = 15.0
RENEWED_WITHIN = 10.0
PACE = 1.8
"""Seconds between two tries at most."""


def now() -> float:
    return asyncio.get_running_loop().time()


class Network:
    """The way of one candidate to the API server: slow, and cut at times.

    What was sent arrives, whether or not the sender still waits for an answer.
    """

    def __init__(self, server: FakeApi, latency: Callable[[], float] = lambda: 0.01) -> None:
        self._server = server
        self._latency = latency
        self._arriving: set[asyncio.Task[Any]] = set()
        self.loses_requests = self.loses_answers = False

    async def get(self, kind: Kind, key: Key) -> Live:
        return await self._send(lambda: self._server.get(kind, key))

    async def patch(self, kind: Kind, key: Key, changes: Mapping[str, Any]) -> Live:
        return await self._send(lambda: self._server.patch(kind, key, changes))

    async def create(self, manifest: Manifest) -> Live:
        return await self._send(lambda: self._server.create(manifest))

    async def _send(self, request: Callable[[], Awaitable[T]]) -> T:
        arriving = asyncio.create_task(self._arrive(request))
        self._arriving.add(arriving)
        arriving.add_done_callback(self._done)
        return await asyncio.shield(arriving)

    async def _arrive(self, request: Callable[[], Awaitable[T]]) -> T:
        await asyncio.sleep(self._latency())
        if self.loses_requests:
            await self._hang()
        try:
            return await request()
        finally:
            await asyncio.sleep(self._latency())
            if self.loses_answers:
                await self._hang()

    async def _hang(self) -> None:
        await asyncio.sleep(30)
        raise UnavailableError("no answer")

    def _done(self, arrived: asyncio.Task[Any]) -> None:
        self._arriving.discard(arrived)
        arrived.cancelled() or arrived.exception()


class Process:
    """A candidate as the operator runs it."""

    def __init__(self, server: FakeApi, **options: Any) -> None:
        latency = options.pop("latency", lambda: 0.01)
        usual: dict[str, Any] = {"instance": "pod", "duration": timedelta(seconds=DURATION), "clock": now}
        self.network = Network(server, latency)
        self.leadership = Leadership(cast("KubeApi", self.network), LEASE, **usual | options)
        self.has_said_so = False
        """That it has ended, in the Lease."""
        self._life = asyncio.create_task(self._live())

    async def _live(self) -> None:
        await self.leadership.gain()
        await self.leadership.keep()

    @property
    def has_ended(self) -> bool:
        return self._life.done()

    def leads(self) -> bool:
        """Whether it would write now; a dead process writes nothing."""
        return not self._life.done() and self.leadership.leads()

    def kill(self) -> None:
        self._life.cancel()

    async def end(self) -> None:
        self._life.cancel()
        await asyncio.wait({self._life})
        self.has_said_so = True
        await self.leadership.release()


def lease(server: FakeApi) -> dict[str, Any]:
    return server.objects["Lease", LEASE]


async def _after(seconds: float) -> None:
    await asyncio.sleep(seconds)


def story(told: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """A test whose time passes at once."""

    def test() -> None:
        in_virtual_time(cast("Any", told()))

    test.__name__ = told.__name__
    return test


@story
async def test_the_first_one_leads_and_the_lease_says_so() -> None:
    server = FakeApi()
    process = Process(server, instance="operator-7f9c")
    await _after(0.1)
    assert process.leads()
    spec = lease(server)["spec"]
    assert spec.pop("holderIdentity").startswith("operator-7f9c_")
    assert datetime.fromisoformat(spec.pop("acquireTime")) == datetime.fromisoformat(spec.pop("renewTime"))
    assert spec == {"leaseDurationSeconds": 15, "leaseTransitions": 0}


@story
async def test_it_goes_on_leading_with_one_write_a_try() -> None:
    server = FakeApi()
    process = Process(server)
    await _after(600)
    assert process.leads()
    assert set(server.writes) == {"create Lease modelrollout", "patch Lease modelrollout"}
    assert 600 / 1.8 <= len(server.writes) <= 600 / 1.2
    assert lease(server)["spec"]["leaseTransitions"] == 0


@story
async def test_the_others_only_look() -> None:
    server = FakeApi()
    first = Process(server)
    await _after(0.1)
    others = [Process(server), Process(server)]
    await _after(600)
    assert (first.leads(), *(other.leads() for other in others)) == (True, False, False)
    assert server.conflicts == []


@story
async def test_after_a_death_another_takes_over_when_the_lease_has_run_out() -> None:
    server = FakeApi()
    first, second = Process(server), Process(server)
    await _after(100)
    dying, other = (first, second) if first.leads() else (second, first)
    dying.kill()
    await _after(DURATION - PACE - 0.1)
    assert not other.leads()
    await _after(3 * PACE + 0.2)
    assert other.leads()
    assert lease(server)["spec"]["leaseTransitions"] == 1


@story
async def test_one_that_is_started_again_in_the_same_pod_waits_like_any_other() -> None:
    server = FakeApi()
    first = Process(server)
    await _after(20)
    first.kill()
    again = Process(server)
    await _after(DURATION - PACE - 0.1)
    assert not again.leads()
    await _after(3 * PACE + 0.2)
    assert again.leads()


@story
async def test_one_that_is_told_to_end_makes_room_at_once() -> None:
    server = FakeApi()
    first = Process(server)
    await _after(0.1)
    second = Process(server)
    await _after(30)
    await first.end()
    assert not first.leadership.leads()
    assert lease(server)["spec"]["holderIdentity"] == ""
    await _after(PACE + 0.1)
    assert second.leads()


@story
async def test_one_that_stands_by_ends_without_touching_the_lease() -> None:
    server = FakeApi()
    first = Process(server)
    await _after(0.1)
    second = Process(server)
    await _after(5)
    await second.end()
    await _after(30)
    assert first.leads()
    assert server.conflicts == []


@story
async def test_a_claim_that_was_under_way_at_the_end_is_let_go_of_as_well() -> None:
    server = FakeApi()
    process = Process(server, latency=lambda: 0.5)
    await _after(1.7)  # the Lease was not found, and is being made
    await process.end()
    assert lease(server)["spec"]["holderIdentity"] == ""


@story
async def test_without_an_answer_it_stops_in_time_and_ends() -> None:
    server = FakeApi()
    process = Process(server)
    await _after(0.1)
    process.network.loses_requests = True
    await _after(RENEWED_WITHIN - 0.2)
    assert process.leads()
    await _after(0.2)
    assert not process.leads()
    await _after(0.01)
    assert process.has_ended


@story
async def test_the_time_that_a_request_took_counts_against_the_holder() -> None:
    process = Process(FakeApi(), latency=lambda: 1.0)
    await _after(4.1)  # the Lease was looked for, and made by a request that was sent after 2 s
    process.network.loses_requests = True
    await _after(2 + RENEWED_WITHIN - 4.1 - 0.1)
    assert process.leads()
    await _after(0.2)
    assert not process.leads()


@story
async def test_a_renewal_whose_answer_was_lost_does_no_harm() -> None:
    server = FakeApi()
    process = Process(server)
    await _after(0.1)
    process.network.loses_answers = True
    await _after(PACE)
    process.network.loses_answers = False
    await _after(60)
    assert process.leads()


@story
async def test_whoever_finds_another_name_in_the_lease_stops_at_once() -> None:
    server = FakeApi()
    process = Process(server)
    await _after(0.1)
    server.put({**lease(server), "spec": {**lease(server)["spec"], "holderIdentity": "somebody else"}})
    await _after(2 * PACE + 0.1)
    assert not process.leads()
    assert process.has_ended


@story
async def test_a_lease_that_is_deleted_deposes_nobody() -> None:
    server = FakeApi()
    first = Process(server)
    await _after(0.1)
    second = Process(server)
    await _after(20)
    for _ in range(5):
        server.remove(LEASES, LEASE)
        await _after(3 * PACE)
        assert first.leads()
        assert not second.leads()
    assert lease(server)["spec"]["acquireTime"]


@story
async def test_a_holder_gets_the_time_that_it_promised_to_renew_in() -> None:
    server = FakeApi()
    slow = Process(server, duration=timedelta(seconds=60))
    await _after(0.1)
    slow.kill()
    hasty = Process(server, duration=timedelta(seconds=3))
    await _after(59)
    assert not hasty.leads()
    await _after(2)
    assert hasty.leads()


@pytest.mark.parametrize("spec", [None, {}, {"holderIdentity": "by hand"}])
def test_a_lease_that_was_made_by_hand_is_taken(spec: dict[str, Any] | None) -> None:
    async def told() -> None:
        server = FakeApi()
        named = {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": LEASE._asdict()}
        server.put(named if spec is None else {**named, "spec": spec})
        process = Process(server)
        await _after(DURATION + PACE + 0.1)
        assert process.leads()

    in_virtual_time(told())


@story
async def test_nobody_reads_the_time_of_day_in_a_lease() -> None:
    server = FakeApi()
    first = Process(server)
    await _after(0.1)
    first.kill()
    for renewed in ("1970-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"):
        server.put({**lease(server), "spec": {**lease(server)["spec"], "renewTime": renewed}})
        second = Process(server)
        await _after(DURATION - 0.1)
        assert not second.leads()
        await _after(PACE + 0.2)
        assert second.leads()
        second.kill()


@dataclass(frozen=True)
class Fault:
    """What happens to one of the candidates, and for how long."""

    at: float
    who: int
    what: str
    seconds: float


FAULTS = st.builds(
    Fault,
    at=st.floats(0, 100),
    who=st.integers(0, 2),
    what=st.sampled_from(["killed", "ended", "requests lost", "answers lost", "cut off"]),
    seconds=st.floats(0.1, 30),
)
DRIFT = 0.02
"""Clocks of real machines run apart by a hundredth of that."""
GAP = DURATION / (1 + DRIFT) - RENEWED_WITHIN / (1 - DRIFT)
"""Seconds between two that lead, for what the first has sent to arrive."""
STEP = 0.2


class World:
    """Three candidates whose clocks show other times and run at other rates, and whoever takes their place."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._server = FakeApi()
        self._lives: list[Process] = []
        self.processes = [self._start() for _ in range(3)]

    def _start(self) -> Process:
        offset, rate = self._rng.uniform(-1e6, 1e6), self._rng.uniform(1 - DRIFT, 1 + DRIFT)
        process = Process(
            self._server, clock=lambda: offset + rate * now(), latency=lambda: self._rng.expovariate(1 / 0.3)
        )
        self._lives.append(process)
        return process

    async def suffer(self, fault: Fault) -> None:
        await _after(fault.at)
        process = self.processes[fault.who]
        match fault.what:
            case "killed":
                process.kill()
            case "ended":
                await process.end()
            case _:
                process.network.loses_requests |= fault.what != "answers lost"
                process.network.loses_answers |= fault.what != "requests lost"
                await _after(fault.seconds)
                process.network.loses_requests = process.network.loses_answers = False

    async def replace_the_dead(self) -> None:
        """As Kubernetes does it, a while later."""
        while True:
            await _after(self._rng.uniform(0.1, 5))
            for number, process in enumerate(self.processes):
                if process.has_ended:
                    self.processes[number] = self._start()

    async def watch(self) -> None:
        """Never do two lead, and who did not say that it has ended gets the time that its last requests may take."""
        last, led_until = None, float("-inf")
        while True:
            leading = [process for process in self._lives if process.leads()]
            assert len(leading) <= 1
            if leading:
                if last not in (None, leading[0]) and not last.has_said_so:
                    assert now() - led_until >= GAP - STEP
                last, led_until = leading[0], now()
            await _after(STEP)


@settings(max_examples=100)
@given(seed=st.integers(0, 1_000_000), faults=st.lists(FAULTS, max_size=10))
def test_whatever_happens_never_two_lead_at_once_and_in_the_end_one_does(seed: int, faults: list[Fault]) -> None:
    async def told() -> None:
        world = World(random.Random(seed))  # noqa: S311
        async with asyncio.TaskGroup() as tasks:
            forever = [tasks.create_task(part) for part in (world.watch(), world.replace_the_dead())]
            await asyncio.gather(*(world.suffer(fault) for fault in faults))
            await _after(60)
            assert [process.leads() for process in world.processes].count(True) == 1
            for task in forever:
                task.cancel()

    in_virtual_time(told())

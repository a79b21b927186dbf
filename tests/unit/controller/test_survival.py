"""Whatever fails, and whenever: the rollout ends where it would have ended, by the same stages."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from modelrollout.api.labels import COLOUR
from modelrollout.api.objects import Live, Manifest
from modelrollout.controller.client import ConflictError, NotFoundError, RefusedError, UnavailableError
from modelrollout.controller.kinds import SERVICES, Key, Kind
from unit.controller.fake_cluster import (
    GATEWAY_ROUTER,
    KEY,
    Clock,
    Crash,
    FakeApi,
    Operator,
    gateway_objects,
    rollout,
)

T = TypeVar("T")


@dataclass
class Trouble:
    """Something that happens at one write, before it is carried out or after, with its answer lost."""

    name: str
    error: type[BaseException]
    when: str

    def at(self, position: int) -> Callable[[int, str], None]:
        def strike(number: int, when: str) -> None:
            if number == position and when == self.when:
                raise self.error(f"{self.name} at write {position}")

        return strike


TROUBLES = [
    Trouble("unavailable", UnavailableError, "before"),
    Trouble("answer lost", UnavailableError, "after"),
    Trouble("conflict", ConflictError, "before"),
    Trouble("refused", RefusedError, "before"),
    Trouble("crash before", Crash, "before"),
    Trouble("crash after", Crash, "after"),
]
ROUTERS: dict[str, dict[str, Any]] = {"replicas": {}, "gateway-api": GATEWAY_ROUTER}


class Story:
    """Version 1.0.0 is deployed, then 2.0.0 is rolled out; the operator is started again whenever it dies."""

    def __init__(self, spec: dict[str, Any], api: FakeApi | None = None) -> None:
        self.api, self.clock, self.spec = api or FakeApi(), Clock(), spec
        for manifest in gateway_objects():
            self.api.put(manifest)
        self.operator = Operator(self.api, self.clock)
        self.crashes = 0

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.api.objects["ModelRollout", KEY].get("status", {})
        return status

    async def tell(self) -> None:
        self.api.put(rollout("1.0.0", **self.spec))
        await self._live_until(lambda: self.status().get("stable", {}).get("version") == "1.0.0")
        self.api.put(rollout("2.0.0", **self.spec))
        await self._live_until(self._is_over)

    def _is_over(self) -> bool:
        """Promoted, or taken back, and the colour that lost has no pods left and no place in the route."""
        pods = [
            manifest["spec"]["replicas"] for (kind, _), manifest in self.api.objects.items() if kind == "Deployment"
        ]
        known = [weight for route in self._routes() for weight in route if 0 < weight < 1_000_000]
        return self.status()["phase"] in ("Idle", "Reverted") and sorted(pods) == [0, 4] and not known

    def _routes(self) -> list[list[int]]:
        return [
            [backend["weight"] for backend in manifest["spec"]["rules"][0]["backendRefs"]]
            for (kind, _), manifest in self.api.objects.items()
            if kind == "HTTPRoute"
        ]

    async def _live_until(self, reached: Callable[[], bool]) -> None:
        await self._start()
        while True:
            try:
                await self.operator.run_until(reached)
                return
            except Crash:
                self.crashes += 1
                await self._start()

    async def _start(self) -> None:
        self.operator = Operator(self.api, self.clock)
        await self.operator.start()

    def stages(self) -> list[tuple[str, str]]:
        """The phases and stages that were written, in order, each once in a row."""
        seen: list[tuple[str, str]] = []
        for kind, _, manifest in self.api.changes:
            status = manifest.get("status") or {}
            at = (status.get("phase", ""), status.get("stage", {}).get("name", ""))
            if kind.kind == "ModelRollout" and status and seen[-1:] != [at]:
                seen.append(at)
        return seen

    def end(self) -> dict[str, Any]:
        """What is left in the cluster, without versions and times."""
        status = self.status()
        return {
            "status": {key: status.get(key) for key in ("phase", "version", "attempt", "weights", "lastRevert")}
            | {"stable": status["stable"]["colour"]},
            "deployments": {
                key.name: manifest["spec"]["replicas"]
                for (kind, key), manifest in self.api.objects.items()
                if kind == "Deployment"
            },
            "services": {
                key.name: manifest["spec"]["selector"].get(COLOUR)
                for (kind, key), manifest in self.api.objects.items()
                if kind == "Service"
            },
            "routes": self._routes(),
        }


def _timeless(end: dict[str, Any]) -> dict[str, Any]:
    revert = end["status"]["lastRevert"]
    if revert:
        end["status"]["lastRevert"] = {key: revert[key] for key in ("version", "reason", "attempt")}
    return end


async def _told(spec: dict[str, Any], trouble: Callable[[int, str], None] | None = None) -> Story:
    story = Story(spec)
    if trouble:
        story.api.trouble = trouble
    await story.tell()
    return story


class SlowWay(FakeApi):
    """One write is held up on its way: its sender is deposed, and others have led when it arrives."""

    def __init__(self, position: int, *, arrives_after: int) -> None:
        super().__init__()
        self._position, self._arrives_at = position, position + arrives_after
        self._sent = 0
        self._held_up: Callable[[], Awaitable[Any]] | None = None

    async def apply(self, manifest: Manifest, *, force: bool) -> Live:
        return await self._pass(lambda: FakeApi.apply(self, manifest, force=force))

    async def patch(self, kind: Kind, key: Key, changes: Mapping[str, Any]) -> Live:
        return await self._pass(lambda: FakeApi.patch(self, kind, key, changes))

    async def replace_status(self, manifest: Manifest) -> Live:
        return await self._pass(lambda: FakeApi.replace_status(self, manifest))

    async def delete(self, live: Live) -> None:
        await self._pass(lambda: FakeApi.delete(self, live))

    async def _pass(self, write: Callable[[], Awaitable[T]]) -> T:
        self._sent += 1
        if self._sent == self._position:
            self._held_up = write
            raise Crash
        if self._sent == self._arrives_at:
            await self.arrive()
        return await write()

    async def arrive(self) -> None:
        late, self._held_up = self._held_up, None
        if late:
            with suppress(ConflictError, NotFoundError):
                await late()


@pytest.mark.parametrize("router", ROUTERS)
async def test_a_promotion_goes_through_all_stages(router: str) -> None:
    story = await _told({"traffic": ROUTERS[router]})
    assert story.stages() == [
        ("Preparing", ""),
        ("Idle", ""),
        ("Preparing", ""),
        ("Progressing", "canary-20"),
        ("Progressing", "canary-50"),
        ("Progressing", "canary-100"),
        ("Idle", ""),
    ]
    end = story.end()
    assert end["deployments"] == {"scorer-blue": 0, "scorer-green": 4}
    assert end["services"] == {"scorer": "green", "scorer-blue": "blue", "scorer-green": "green"}
    assert end["routes"] == ([[0, 1_000_000]] if router == "gateway-api" else [])


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name)
@pytest.mark.parametrize("router", ROUTERS)
async def test_trouble_at_any_write_of_a_promotion_changes_nothing_in_the_end(router: str, trouble: Trouble) -> None:
    spec = {"traffic": ROUTERS[router]}
    undisturbed = await _told(spec)
    for position in range(1, len(undisturbed.api.writes) + 1):
        story = await _told(spec, trouble.at(position))
        assert story.stages() == undisturbed.stages(), f"write {position}: {undisturbed.api.writes[position - 1]}"
        assert story.end() == undisturbed.end(), f"write {position}: {undisturbed.api.writes[position - 1]}"
        assert story.crashes == (trouble.error is Crash)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name)
async def test_trouble_at_any_write_of_a_revert_changes_nothing_in_the_end(trouble: Trouble) -> None:
    steps = [{"weight": 20, "hold": "1m", "deadline": "2m", "onDeadline": "Revert"}, {"weight": 100}]
    slos = [{"name": "errors", "query": {"value": "0"}, "limit": "0.1"}]
    spec = {"traffic": GATEWAY_ROUTER, "strategy": {"canary": {"steps": steps}}, "slos": slos}
    undisturbed = await _told(spec)
    assert undisturbed.end()["status"]["lastRevert"]["reason"] == "StageDeadlineExceeded"
    assert undisturbed.end()["routes"] == [[1_000_000, 0]]
    for position in range(1, len(undisturbed.api.writes) + 1):
        story = await _told(spec, trouble.at(position))
        assert story.stages() == undisturbed.stages(), f"write {position}: {undisturbed.api.writes[position - 1]}"
        assert _timeless(story.end()) == _timeless(undisturbed.end())


@pytest.mark.parametrize("arrives_after", [2, 1000])
@pytest.mark.parametrize("router", ROUTERS)
async def test_a_write_that_arrives_when_another_has_led_changes_nothing_in_the_end(
    router: str, arrives_after: int
) -> None:
    spec = {"traffic": ROUTERS[router]}
    undisturbed = await _told(spec)
    for position in range(1, len(undisturbed.api.writes) + 1):
        api = SlowWay(position, arrives_after=arrives_after)
        story = Story(spec, api)
        await story.tell()
        await api.arrive()
        assert story.stages() == undisturbed.stages(), f"write {position}: {undisturbed.api.writes[position - 1]}"
        assert story.end() == undisturbed.end(), f"write {position}: {undisturbed.api.writes[position - 1]}"


async def test_everything_failing_for_a_while_is_outlived() -> None:
    def strike(number: int, when: str) -> None:
        if number < 30 and when == "before":
            raise UnavailableError("the API server is being restarted")

    story = await _told({}, strike)
    assert story.end() == (await _told({})).end()


async def test_an_object_of_somebody_else_is_not_taken_over() -> None:
    story = Story({})
    foreign = {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ml", "name": "scorer"}, "spec": {}}
    story.api.put(foreign)
    story.api.put(rollout())
    await story.operator.start()
    await story.operator.run_until(lambda: "not ours" in _condition(story, "RouteReady")["message"])
    assert story.api.objects["Service", Key("ml", "scorer")]["spec"] == {}
    story.api.remove(SERVICES, Key("ml", "scorer"))
    await story.operator.run_until(lambda: _condition(story, "RouteReady")["status"] == "True")


async def test_a_deployment_that_the_api_server_refuses_is_reported_with_its_words_and_not_retried_hot() -> None:
    story = Story({})
    refused: list[int] = []

    def refuse(number: int, when: str) -> None:
        if when == "before" and story.api.writes[-1] == "apply Deployment scorer-blue" and len(refused) < 3:
            refused.append(number)
            raise RefusedError("spec.template.spec.containers[0].image: Required value")

    story.api.trouble = refuse
    story.api.put(rollout())
    await story.operator.start()
    await story.operator.run_until(lambda: "Required value" in _condition(story, "Progressing")["message"], looks=20)
    assert len(refused) == 1
    began = story.clock.seconds()
    await story.operator.run_until(lambda: story.status().get("stable") is not None)
    assert len(refused) == 3
    assert story.clock.seconds() - began == pytest.approx(1 + 2 + 4, abs=0.5)


async def test_a_settled_rollout_costs_no_request() -> None:
    story = await _told({"traffic": GATEWAY_ROUTER})
    writes = len(story.api.writes)
    for _ in range(5):
        story.operator.queue.add(KEY)
        await story.operator.run_until(lambda: True)
    assert len(story.api.writes) == writes


def _condition(story: Story, kind: str) -> dict[str, Any]:
    found = [one for one in story.status().get("conditions", []) if one["type"] == kind]
    return found[0] if found else {"message": "", "status": ""}

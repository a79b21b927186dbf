"""What is heard and read of the ConfigMaps that templates name, and what is not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, cast

import pytest

from modelrollout.api.objects import Live
from modelrollout.controller.background import Background
from modelrollout.controller.client import ExpiredError, Page, UnavailableError
from modelrollout.controller.kinds import CONFIG_MAPS, Key, Kind
from modelrollout.controller.queue import Priority, WorkQueue
from modelrollout.controller.sources import Reading, Sources
from modelrollout.workloads.copies import Reference, digest_of
from unit.controller.fake_cluster import KEY, FakeApi

SETTINGS = Reference("ConfigMap", "settings")
ONE = frozenset({SETTINGS})


def config_map(name: str = "settings", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "ml", "name": name}, "data": data}


class Api(FakeApi):
    """An API server whose watches tell what the test puts into them, and that counts what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.gets: list[str] = []
        self.lists = 0
        self.watches: list[asyncio.Queue[tuple[str, Live] | Exception | None]] = []
        self.on_get: Callable[[], None] = lambda: None

    async def get(self, kind: Kind, key: Key) -> Live:
        self.gets.append(key.name)
        try:
            return await super().get(kind, key)
        finally:
            self.on_get()

    async def metadata_pages(self, kind: Kind, *, namespace: str = "", selector: str = "") -> AsyncIterator[Page]:
        self.lists += 1
        async for page in self.pages(kind, namespace=namespace, selector=selector):
            yield Page([{"metadata": item["metadata"]} for item in page.items], page.resource_version)

    async def watch_metadata(self, *_: Any, **__: Any) -> AsyncIterator[tuple[str, Live]]:
        told: asyncio.Queue[tuple[str, Live] | Exception | None] = asyncio.Queue()
        self.watches.append(told)
        while (event := await told.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event


class Scene:
    """Sources with an API server, and whom they call for a look."""

    def __init__(self) -> None:
        self.api = Api()
        self.called: list[Key] = []
        self.queue = WorkQueue[Key]()
        self.sources = Sources(
            cast("Any", self.api),
            kinds=(CONFIG_MAPS,),
            namespaces=(),
            readings=Background(self.queue, done=lambda reading: not reading.problem, first_pause=0.0),
            enqueue=self._enqueue,
            resync=timedelta(minutes=10),
            keep=digest_of,
        )

    def _enqueue(self, key: Key, _: Priority) -> None:
        self.called.append(key)

    async def read(self) -> Reading[str]:
        """What is known in the end."""
        for _ in range(20):
            reading = self.sources.look(KEY, ONE)
            if reading:
                return reading
            await asyncio.sleep(0)
        raise AssertionError("still being read")

    def hear(self, event: str, name: str = "settings") -> None:
        manifest = self.api.objects["ConfigMap", Key("ml", name)]
        self.sources.hear(CONFIG_MAPS, {"metadata": manifest["metadata"]}, gone=event == "DELETED")


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_what_is_named_is_read_once(scene: Scene) -> None:
    scene.api.put(config_map(LOG="info"))
    assert scene.sources.look(KEY, ONE) is None
    reading = await scene.read()
    assert reading.found == {SETTINGS: digest_of(config_map(LOG="info"))}
    scene.hear("ADDED")
    await scene.read()
    assert (scene.api.gets, scene.called) == (["settings"], [])


async def test_a_change_calls_for_a_look_and_is_read(scene: Scene) -> None:
    scene.api.put(config_map(LOG="info"))
    await scene.read()
    scene.api.put(config_map(LOG="debug"))
    scene.hear("MODIFIED")
    assert scene.called == [KEY]
    assert (await scene.read()).found == {SETTINGS: digest_of(config_map(LOG="debug"))}


async def test_what_is_missing_is_known_to_be_and_waited_for(scene: Scene) -> None:
    assert (await scene.read()).found == {SETTINGS: None}
    scene.api.put(config_map(LOG="info"))
    scene.hear("ADDED")
    assert scene.called == [KEY]
    assert (await scene.read()).found == {SETTINGS: digest_of(config_map(LOG="info"))}
    scene.hear("DELETED")
    scene.api.remove(CONFIG_MAPS, Key("ml", "settings"))
    assert (await scene.read()).found == {SETTINGS: None}


async def test_what_nobody_names_is_dropped(scene: Scene) -> None:
    await scene.read()
    scene.api.put(config_map("other"))
    scene.hear("ADDED", "other")
    assert (scene.called, scene.api.gets) == ([], ["settings"])


async def test_a_change_that_is_heard_while_the_old_state_is_read_is_not_lost(scene: Scene) -> None:
    scene.api.put(config_map(LOG="info"))

    def change() -> None:
        scene.api.on_get = lambda: None
        scene.api.put(config_map(LOG="debug"))
        scene.hear("MODIFIED")

    scene.api.on_get = change
    assert (await scene.read()).found == {SETTINGS: digest_of(config_map(LOG="debug"))}


async def test_one_that_is_made_while_it_is_found_missing_is_not_lost(scene: Scene) -> None:
    def make() -> None:
        scene.api.on_get = lambda: None
        scene.api.put(config_map(LOG="info"))
        scene.hear("ADDED")

    scene.api.on_get = make
    assert (await scene.read()).found == {SETTINGS: digest_of(config_map(LOG="info"))}


async def test_what_was_read_for_a_rollout_is_forgotten_with_it(scene: Scene) -> None:
    scene.api.put(config_map(LOG="info"))
    await scene.read()
    scene.sources.forget(KEY)
    scene.api.put(config_map(LOG="debug"))
    scene.hear("MODIFIED")
    assert scene.called == []
    assert (await scene.read()).found == {SETTINGS: digest_of(config_map(LOG="debug"))}


async def _until(reached: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not reached():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)


@pytest.fixture
async def following(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr("modelrollout.controller.sources._BETWEEN_WATCHES", 0.0)
    task = asyncio.create_task(scene.sources.run())
    yield scene
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_nothing_is_asked_for_until_somebody_names_something(following: Scene) -> None:
    await asyncio.sleep(0.01)
    assert (following.api.lists, following.api.watches) == (0, [])
    await following.read()
    await _until(lambda: following.api.watches)
    assert following.api.lists == 1


@pytest.mark.parametrize("end", [None, ExpiredError("410"), UnavailableError("gone away")])
async def test_what_happens_between_two_watches_is_found_by_the_list(following: Scene, end: Exception | None) -> None:
    following.api.put(config_map(LOG="info"))
    await following.read()
    await _until(lambda: following.api.watches)
    following.api.put(config_map(LOG="debug"))
    following.api.watches[0].put_nowait(end)
    await _until(lambda: following.called)
    await _until(lambda: len(following.api.watches) == 2)
    following.called.clear()
    following.api.remove(CONFIG_MAPS, Key("ml", "settings"))
    await following.read()
    following.api.watches[1].put_nowait(end)
    await _until(lambda: len(following.api.watches) == 3)
    assert (await following.read()).found == {SETTINGS: None}


async def test_a_watch_tells_of_changes(following: Scene) -> None:
    following.api.put(config_map(LOG="info"))
    await following.read()
    await _until(lambda: following.api.watches)
    following.api.put(config_map(LOG="debug"))
    manifest = following.api.objects["ConfigMap", Key("ml", "settings")]
    following.api.watches[0].put_nowait(("MODIFIED", {"metadata": manifest["metadata"]}))
    await _until(lambda: following.called)
    assert following.api.lists == 1

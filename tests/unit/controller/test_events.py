import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from modelrollout.api.objects import Live, Manifest
from modelrollout.controller.client import ApiError, ConflictError, RefusedError, UnavailableError
from modelrollout.controller.events import EventRecorder
from modelrollout.controller.own_metrics import OwnMetrics
from modelrollout.engine.effects import Emit
from unit.controller.fake_cluster import Clock, FakeApi, rollout

PROMOTED = Emit(type="Normal", reason="Promoted", message="Version 2 serves")


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> OwnMetrics:
    return OwnMetrics()


@pytest.fixture
async def recorder(api: FakeApi, clock: Clock, metrics: OwnMetrics) -> AsyncIterator[EventRecorder]:
    recorder = EventRecorder(api, instance="operator-1", metrics=metrics, now=clock.now)
    posting = asyncio.create_task(recorder.run())
    yield recorder
    posting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await posting


def subject(name: str = "scorer") -> dict[str, str]:
    """The metadata of a rollout."""
    return {**rollout()["metadata"], "name": name, "uid": name}


async def test_an_event_says_what_happened_to_which_rollout(recorder: EventRecorder, api: FakeApi) -> None:
    recorder.emit(subject(), PROMOTED, attempt=2)
    await recorder.drain(seconds=5)
    (event,) = api.events
    assert event["regarding"] == {
        "apiVersion": "modelrollout.io/v1alpha1",
        "kind": "ModelRollout",
        "namespace": "ml",
        "name": "scorer",
        "uid": "scorer",
    }
    assert (event["type"], event["reason"], event["note"]) == ("Normal", "Promoted", "Version 2 serves")
    assert event["eventTime"] == "2026-01-01T00:00:00.000000+00:00"
    assert event["reportingInstance"] == "operator-1"


async def test_the_same_again_within_ten_minutes_is_left_out(
    recorder: EventRecorder, api: FakeApi, clock: Clock
) -> None:
    recorder.emit(subject(), PROMOTED, attempt=2)
    recorder.emit(subject(), PROMOTED, attempt=2)
    recorder.emit(subject("other"), PROMOTED, attempt=2)
    clock.turn_to(timedelta(minutes=11).total_seconds())
    recorder.emit(subject(), PROMOTED, attempt=2)
    await recorder.drain(seconds=5)
    assert [event["regarding"]["name"] for event in api.events] == ["scorer", "other", "scorer"]
    assert len({event["metadata"]["name"] for event in api.events}) == 3


async def test_what_happens_a_second_time_is_told_a_second_time(recorder: EventRecorder, api: FakeApi) -> None:
    paused, resumed = (Emit(type="Normal", reason="ActionApplied", message=text) for text in ("paused", "resumed"))
    for event in (paused, resumed, paused, resumed):
        recorder.emit(subject(), event, attempt=2)
    await recorder.drain(seconds=5)
    assert [event["note"] for event in api.events] == ["paused", "resumed", "paused", "resumed"]
    assert len({event["metadata"]["name"] for event in api.events}) == 4


async def test_the_same_of_another_attempt_is_told(recorder: EventRecorder, api: FakeApi) -> None:
    recorder.emit(subject(), PROMOTED, attempt=2)
    recorder.emit(subject(), PROMOTED, attempt=3)
    await recorder.drain(seconds=5)
    assert len(api.events) == 2


async def test_a_long_message_is_cut_between_characters(recorder: EventRecorder, api: FakeApi) -> None:
    recorder.emit(subject(), Emit(type="Warning", reason="Reverting", message="é" * 1000), attempt=1)
    await recorder.drain(seconds=5)
    assert api.events[0]["note"] == "é" * 512


class Failing(FakeApi):
    """Fails as told, and then takes what it is given."""

    def __init__(self, *errors: ApiError) -> None:
        super().__init__()
        self.errors = list(errors)

    async def create(self, manifest: Manifest) -> Live:
        if self.errors:
            raise self.errors.pop(0)
        return await super().create(manifest)


async def test_an_api_server_that_is_away_for_a_moment_loses_no_event(
    metrics: OwnMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelrollout.controller.events._LONGEST_WAIT", 0.01)
    api = Failing(UnavailableError("503"), UnavailableError("no answer"), ConflictError("it is there"))
    recorder = EventRecorder(api, instance="operator-1", metrics=metrics)
    posting = asyncio.create_task(recorder.run())
    for attempt in (2, 3):
        recorder.emit(subject(), PROMOTED, attempt=attempt)
    await recorder.drain(seconds=5)
    posting.cancel()
    assert len(api.events) == 1, "the first one was there already, whose answers were lost"
    assert b"modelrollout_events_dropped_total 0.0" in metrics.exposition()


async def test_an_event_that_cannot_be_posted_is_counted_and_blocks_nobody(
    metrics: OwnMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = EventRecorder(Failing(RefusedError("403")), instance="operator-1", metrics=metrics)
    posting = asyncio.create_task(recorder.run())
    with caplog.at_level(logging.INFO):
        recorder.emit(subject(), PROMOTED, attempt=2)
        await recorder.drain(seconds=5)
    posting.cancel()
    assert b"modelrollout_events_dropped_total 1.0" in metrics.exposition()
    logged = caplog.records[0]
    assert (logged.message, vars(logged)["attempt"]) == ("Promoted: Version 2 serves", 2)


async def test_a_backlog_that_is_full_drops_and_counts(
    api: FakeApi, metrics: OwnMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelrollout.controller.events._BACKLOG", 2)
    recorder = EventRecorder(api, instance="operator-1", metrics=metrics)
    for number in range(5):
        recorder.emit(subject(str(number)), PROMOTED, attempt=1)
    assert b"modelrollout_events_dropped_total 3.0" in metrics.exposition()

"""A real node with real pods, Envoy Gateway, Prometheus, and the operator installed from its chart.

Stories that harm nobody else are told a few at once, and first: tests marked with `story` look back on theirs. Those
that kill or stop what all share come after them, one by one.
"""

import os
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from kubernetes.client import ApiClient

import stack
import testbed
from e2e.telling import Telling
from stack import Serve, Served
from support.light_bed import many_connections
from support.terminal import Shown
from support.together import side_by_side

KEEP = "MODELROLLOUT_KEEP_BED"
"""Set in the environment, it leaves the bed up, so that the next session need not make one."""

TOLD_AT_ONCE = 3
"""A model takes a whole processor to start, and then waits for requests, holds and drains most of the time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is told at once comes first."""
    items.sort(key=lambda item: _telling_of(item) is None)


@pytest.fixture(scope="session")
def bed(shown: Shown) -> Iterator[testbed.Bed]:
    """The bed `test`; one that is up already is used as it is."""
    try:
        with shown():
            bed = testbed.up("full", "test")
            stack.install(bed)
        yield bed
    finally:
        if not os.environ.get(KEEP):
            testbed.down("test")


@pytest.fixture(scope="session")
def client(bed: testbed.Bed) -> Iterator[ApiClient]:
    """The official client, as administrator."""
    with many_connections(bed, 4 * TOLD_AT_ONCE) as client:
        yield client


@pytest.fixture(scope="session")
def serve(bed: testbed.Bed, client: ApiClient) -> Serve:
    """Makes a `Served` in a namespace of its own; what is given differs from the manifest's spec."""

    def make(name: str, **spec: Any) -> Served:
        return Served(bed, client, f"{name}-{uuid.uuid4().hex[:6]}", **spec)

    return make


@pytest.fixture(scope="session")
def endings(request: pytest.FixtureRequest, serve: Serve) -> Iterator[dict[Telling, Future[Any]]]:
    """Every story of the chosen tests, begun."""
    tellings = filter(None, dict.fromkeys(map(_telling_of, request.session.items)))
    with side_by_side(TOLD_AT_ONCE) as threads:
        yield {telling: threads.submit(telling, serve) for telling in tellings}


@pytest.fixture
def story(request: pytest.FixtureRequest, endings: dict[Telling, Future[Any]]) -> Any:
    """What the telling that the test is marked with has returned."""
    telling = _telling_of(request.node)
    assert telling, "mark the test with the story that it looks back on: pytest.mark.story(told_by=telling)"
    return endings[telling].result()


def _telling_of(item: pytest.Item) -> Telling | None:
    marker = item.get_closest_marker("story")
    return marker.kwargs["told_by"] if marker else None

"""A real API server with its controllers, a real Prometheus, and a ground on which scenes are set up side by side.

Tests that ask for the `ground` are told together, as many scenes at once as the machine has room for. Those that break
what all share ask for the `whole_ground`, and come after them, one by one.
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiClient

import testbed
from cluster.gateway_controller import accepting_all_routes
from faults.scene import ERRORS, EXPORTED, Ground, Tally, series_of
from stack.operator_process import grant
from support.api_proxy import ProxyHost
from support.light_bed import light_bed, many_connections
from support.prometheus_server import Exporter, PrometheusServer
from support.recorder import Recorder
from support.terminal import Shown
from support.together import Endings, begun, chosen, stands_for_its_story

SCENES_AT_ONCE = 12
STORIES_AT_ONCE = 64
"""More than have room, so that there is always one that takes it."""
LONGEST = 7200
"""Seconds that a test may wait for its turn and for its end."""

_TALLY = pytest.StashKey[Tally]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TALLY] = Tally()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is told together first; it may take long until a test's own story is over."""
    here = Path(__file__).parent
    ours = [item for item in items if isinstance(item, pytest.Function) and here in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.timeout(LONGEST))
    alone = [item for item in ours if "ground" not in item.fixturenames]
    items.sort(key=lambda item: item in alone)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was tried."""
    for line in config.stash[_TALLY].lines():
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def bed(shown: Shown) -> Iterator[testbed.Bed]:
    """A bed of this session's own, on which operators may work everywhere; removed at the end."""
    with light_bed(shown, "faults") as bed:
        grant(bed)
        yield bed


@pytest.fixture(scope="session")
def client(bed: testbed.Bed) -> Iterator[ApiClient]:
    """The official client, as administrator."""
    with many_connections(bed, 2 * STORIES_AT_ONCE) as client:
        yield client


@pytest.fixture(scope="session")
def whole_ground(
    pytestconfig: pytest.Config, bed: testbed.Bed, client: ApiClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    """Where the scenes are, for a test that has it for itself."""
    folder = tmp_path_factory.mktemp("faults")
    exporter = Exporter()
    prometheus = PrometheusServer(folder, exporter)
    recorder, proxies = Recorder(client), ProxyHost(bed)
    with exporter.serving(), recorder.recording(), proxies.running(), accepting_all_routes(client):
        exporter.set(EXPORTED, series_of(ERRORS, "anywhere"), 0)
        prometheus.scrape({EXPORTED: {}})
        prometheus.start()
        try:
            yield Ground(
                bed=bed,
                client=client,
                recorder=recorder,
                proxies=proxies,
                prometheus=prometheus,
                exporter=exporter,
                folder=folder,
                tally=pytestconfig.stash[_TALLY],
                room=threading.Semaphore(SCENES_AT_ONCE),
            )
        finally:
            prometheus.kill()


@pytest.fixture(scope="session")
def endings(request: pytest.FixtureRequest, whole_ground: Ground) -> Iterator[Endings]:
    """Every test that is told with others, begun."""

    def run(test: Callable[..., None], parameters: dict[str, Any]) -> None:
        test(ground=whole_ground, **parameters)

    with begun(chosen(request.session, "ground"), run, at_once=STORIES_AT_ONCE) as endings:
        yield endings


@pytest.fixture
def ground(endings: Endings) -> None:
    """The ground that all share is given to a test when its story is told, by `endings`."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    return stands_for_its_story(pyfuncitem, "ground")

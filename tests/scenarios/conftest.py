"""One bed, one operator, one Prometheus; and many stories, told at the same time, each in a namespace of its own.

A story spends its time waiting: for pods, for holds, for a version to finish its answers. So all that were chosen begin
with the first test, a few dozen at once, and each test waits for the end of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from kubernetes.client import ApiClient

import testbed
from cluster.gateway_controller import accepting_routes
from scenarios.story import GATEWAYS, Story
from stack.exporter import Exporter
from stack.operator_process import OperatorProcess, grant, running
from support.light_bed import light_bed, many_connections
from support.namespaces import new_namespace
from support.terminal import Shown
from support.together import Endings, begin_with, begun, chosen, stands_for_its_story

TOLD_AT_ONCE = 24
LONGEST = ("test_room",)
"""Files whose stories take minutes: a shortage counts once it has lasted for one."""

Beginning = Callable[[], AbstractContextManager[Story]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    begin_with(LONGEST, items)


@pytest.fixture(scope="session")
def bed(shown: Shown) -> Iterator[testbed.Bed]:
    """A bed of this session's own, whose pods kwok plays; removed at the end."""
    with light_bed(shown, "scenarios") as bed:
        grant(bed)
        yield bed


@pytest.fixture(scope="session")
def client(bed: testbed.Bed) -> Iterator[ApiClient]:
    """The official client, as administrator, with a connection for each watch and each story."""
    with many_connections(bed, 4 * TOLD_AT_ONCE) as client:
        yield client


@pytest.fixture(scope="session")
def exporter() -> Exporter:
    """What Prometheus is told of all pods."""
    return Exporter()


@pytest.fixture(scope="session")
def operator(
    bed: testbed.Bed, exporter: Exporter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """The one operator of all stories, with the rights of its role and nothing more."""
    with exporter.serving() as scraped:
        url = bed.start_prometheus(scraped)
        with running(bed, tmp_path_factory.mktemp("operator"), f"--prometheus-url={url}") as operator:
            yield operator


@pytest.fixture(scope="session")
def gateway(bed: testbed.Bed, client: ApiClient) -> Iterator[None]:
    """A Gateway for all stories, and a controller that accepts their routes."""
    bed.kubectl("create", "namespace", GATEWAYS)
    with accepting_routes(bed, client, GATEWAYS):
        yield


@pytest.fixture(scope="session")
def begin(
    bed: testbed.Bed, client: ApiClient, exporter: Exporter, operator: OperatorProcess, gateway: None
) -> Beginning:
    """Begins a story in a fresh namespace, which is left to the end of the bed."""

    @contextmanager
    def begin() -> Iterator[Story]:
        with Story(bed, client, exporter, new_namespace(client, "story-")) as story:
            yield story

    return begin


@pytest.fixture(scope="session")
def endings(request: pytest.FixtureRequest, begin: Beginning) -> Iterator[Endings]:
    """Every story that was chosen, begun, by its test's id."""

    def tell(test: Callable[..., None], parameters: dict[str, Any]) -> None:
        with begin() as story:
            test(story=story, **parameters)

    with begun(chosen(request.session, "story"), tell, at_once=TOLD_AT_ONCE) as endings:
        yield endings


@pytest.fixture
def story(endings: Endings) -> None:
    """The story itself is made when it is told, by `endings`."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    return stands_for_its_story(pyfuncitem, "story")

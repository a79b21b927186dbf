"""One bed, one operator, one Prometheus; and many stories, told at the same time, each in a namespace of its own.

A story spends its time waiting: for pods, for holds, for a version to finish its answers. So all that were chosen begin
with the first test, a few dozen at once, and each test waits for the end of its own.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import pytest
from kubernetes.client import ApiClient, Configuration, CoreV1Api, V1Namespace, V1ObjectMeta
from kubernetes.config import new_client_from_config

import testbed
from cluster.gateway_controller import accepting_routes
from scenarios.story import GATEWAYS, Story
from stack.exporter import Exporter
from stack.operator_process import OperatorProcess, grant, running
from support.light_bed import light_bed
from support.terminal import Shown

TOLD_AT_ONCE = 24

Beginning = Callable[[], AbstractContextManager[Story]]
Endings = dict[str, Future[None]]


@pytest.fixture(scope="session")
def bed(shown: Shown) -> Iterator[testbed.Bed]:
    """A bed of this session's own, whose pods kwok plays; removed at the end."""
    with light_bed(shown, "scenarios") as bed:
        grant(bed)
        yield bed


@pytest.fixture(scope="session")
def client(bed: testbed.Bed) -> Iterator[ApiClient]:
    """The official client, as administrator, with a connection for each watch and each story."""
    configuration = Configuration()
    configuration.connection_pool_maxsize = 4 * TOLD_AT_ONCE
    with new_client_from_config(str(bed.kubeconfig), client_configuration=configuration) as client:
        # It reads the environment for each call, which pytest writes at the same time; these credentials never change.
        client.configuration.refresh_api_key_hook = None
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
        fresh = V1Namespace(metadata=V1ObjectMeta(generate_name="story-"))
        namespace = CoreV1Api(client).create_namespace(fresh).metadata.name
        with Story(bed, client, exporter, namespace) as story:
            yield story

    return begin


@pytest.fixture(scope="session")
def endings(request: pytest.FixtureRequest, begin: Beginning) -> Iterator[Endings]:
    """Every story that was chosen, begun, by its test's id."""
    chosen = [item for item in request.session.items if isinstance(item, pytest.Function) and _is_story(item)]
    threads = ThreadPoolExecutor(TOLD_AT_ONCE, thread_name_prefix="story")
    yield {item.nodeid: threads.submit(_tell, item, begin) for item in chosen}
    threads.shutdown(cancel_futures=True)


@pytest.fixture
def story(endings: Endings) -> None:
    """The story itself is made when it is told, by `_tell`."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test is as good as the story that it tells."""
    if not _is_story(pyfuncitem):
        return None
    pyfuncitem.funcargs["endings"][pyfuncitem.nodeid].result()
    return True


def _is_story(item: pytest.Function) -> bool:
    return "story" in item.fixturenames


def _tell(item: pytest.Function, begin: Beginning) -> None:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    with begin() as story:
        item.obj(story=story, **parameters)

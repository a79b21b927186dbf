"""A real API server with its controllers, a real Prometheus, and a ground on which scenes are set up side by side."""

from collections.abc import Iterator

import pytest
from kubernetes.client import ApiClient
from kubernetes.config import new_client_from_config

import testbed
from cluster.gateway_controller import accepting_all_routes
from faults.scene import ERRORS, EXPORTED, Ground, series_of
from stack.operator_process import grant
from support.api_proxy import ProxyHost
from support.light_bed import light_bed
from support.prometheus_server import Exporter, PrometheusServer
from support.recorder import Recorder
from support.terminal import Shown


@pytest.fixture(scope="session")
def bed(shown: Shown) -> Iterator[testbed.Bed]:
    """A bed of this session's own, on which operators may work everywhere; removed at the end."""
    with light_bed(shown, "faults") as bed:
        grant(bed)
        yield bed


@pytest.fixture(scope="session")
def client(bed: testbed.Bed) -> Iterator[ApiClient]:
    """The official client, as administrator."""
    with new_client_from_config(str(bed.kubeconfig)) as client:
        yield client


@pytest.fixture(scope="session")
def ground(bed: testbed.Bed, client: ApiClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Where the scenes are."""
    folder = tmp_path_factory.mktemp("faults")
    exporter = Exporter()
    prometheus = PrometheusServer(folder, exporter)
    recorder, proxies = Recorder(client), ProxyHost(bed)
    with exporter.serving(), recorder.recording(), proxies.running(), accepting_all_routes(client):
        exporter.set(EXPORTED, series_of(ERRORS, "anywhere"), 0)
        prometheus.scrape({EXPORTED: {}})
        prometheus.start()
        try:
            yield Ground(bed, client, recorder, proxies, prometheus, exporter, folder)
        finally:
            prometheus.kill()

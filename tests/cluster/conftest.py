"""A real API server with controllers and our CRDs, and a namespace for each test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes.client import ApiClient, CoreV1Api, V1Namespace, V1ObjectMeta
from kubernetes.config import new_client_from_config

import testbed
from support.terminal import Shown

CRDS = sorted((Path(__file__).parents[2] / "crds").glob("*.yaml"))


@pytest.fixture(scope="session")
def bed(shown: Shown) -> Iterator[testbed.Bed]:
    """A bed of this session's own, without nodes that run anything; removed at the end."""
    name = f"cluster-{os.getpid()}"
    try:
        with shown():
            bed = testbed.up("light", name)
        for crd in CRDS:
            bed.apply(crd)
        bed.kubectl("wait", "--for=condition=Established", "--timeout=30s", *(f"--filename={crd}" for crd in CRDS))
        yield bed
    finally:
        testbed.down(name)


@pytest.fixture(scope="session")
def client(bed: testbed.Bed) -> Iterator[ApiClient]:
    """The official client, as administrator."""
    with new_client_from_config(str(bed.kubeconfig)) as client:
        yield client


@pytest.fixture
def namespace(client: ApiClient) -> Iterator[str]:
    """The name of a fresh namespace."""
    core = CoreV1Api(client)
    name = core.create_namespace(V1Namespace(metadata=V1ObjectMeta(generate_name="test-"))).metadata.name
    yield name
    core.delete_namespace(name)

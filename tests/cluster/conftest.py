"""A real API server with controllers and our CRDs, and a namespace for each test."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from kubernetes.client import ApiClient, CoreV1Api, CustomObjectsApi, V1Namespace, V1ObjectMeta
from kubernetes.config import new_client_from_config
from kubernetes.dynamic import DynamicClient

import testbed
from cluster.kube import Kube
from stack.operator_process import apply_crds
from support.terminal import Shown


@pytest.fixture(scope="session")
def bed(shown: Shown) -> Iterator[testbed.Bed]:
    """A bed of this session's own, without nodes that run anything; removed at the end."""
    with ExitStack() as until_the_end:
        with shown():
            bed = until_the_end.enter_context(testbed.temporary("light", "cluster"))
        apply_crds(bed)
        yield bed


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
    # For a while after a kind was installed, the end of a namespace leaves its objects behind.
    rollouts = CustomObjectsApi(client)
    rollouts.delete_collection_namespaced_custom_object("modelrollout.io", "v1alpha1", name, "modelrollouts")
    core.delete_namespace(name)


@pytest.fixture
def kube(client: ApiClient, namespace: str) -> Kube:
    return Kube(DynamicClient(client), namespace)  # type: ignore[no-untyped-call]

"""A real API server with controllers and our CRDs, and a namespace for each test."""

from collections.abc import Iterator

import pytest
from kubernetes.client import ApiClient, CoreV1Api, CustomObjectsApi
from kubernetes.config import new_client_from_config
from kubernetes.dynamic import DynamicClient

import testbed
from cluster.kube import Kube
from stack.operator_process import OperatorProcess, grant, running
from stack.rollout import Rollout
from support.light_bed import light_bed
from support.namespaces import new_namespace
from support.terminal import Shown
from support.together import begin_with

LONGEST = (
    "test_operator_high_availability",
    "test_upgrading",
    "test_operator_revisions",
    "test_operator_idle",
    "test_operator_basics",
    "test_gitops",
    "test_operator_workload_ref",
    "test_operator_survival",
    "test_lint",
)
"""Files that take minutes, longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    begin_with(LONGEST, items)


@pytest.fixture(scope="session")
def bed(shown: Shown) -> Iterator[testbed.Bed]:
    """A bed of this session's own, without nodes that run anything; removed at the end."""
    with light_bed(shown, "cluster") as bed:
        yield bed


@pytest.fixture(scope="session")
def client(bed: testbed.Bed) -> Iterator[ApiClient]:
    """The official client, as administrator."""
    with new_client_from_config(str(bed.kubeconfig)) as client:
        yield client


@pytest.fixture
def namespace(client: ApiClient) -> Iterator[str]:
    """The name of a fresh namespace."""
    name = new_namespace(client, "test-")
    yield name
    # For a while after a kind was installed, the end of a namespace leaves its objects behind.
    rollouts = CustomObjectsApi(client)
    rollouts.delete_collection_namespaced_custom_object("modelrollout.io", "v1alpha1", name, "modelrollouts")
    CoreV1Api(client).delete_namespace(name)


@pytest.fixture
def kube(client: ApiClient, namespace: str) -> Kube:
    return Kube(DynamicClient(client), namespace)


@pytest.fixture(scope="module")
def operator(bed: testbed.Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """The operator as most tests want it: one process for all tests of a file, with the rights of its role."""
    grant(bed)
    with running(bed, tmp_path_factory.mktemp("operator")) as operator:
        yield operator


@pytest.fixture
def rollout(bed: testbed.Bed, client: ApiClient, namespace: str) -> Rollout:
    """A ModelRollout in a namespace of its own, not applied yet."""
    return Rollout(bed, client, namespace)

"""A real node with real pods, Envoy Gateway, Prometheus, and the operator installed from its chart."""

import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client import ApiClient
from kubernetes.config import new_client_from_config

import stack
import testbed
from stack import Serve, Served
from support.terminal import Shown

KEEP = "MODELROLLOUT_KEEP_BED"
"""Set in the environment, it leaves the bed up, so that the next session need not make one."""


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
    with new_client_from_config(str(bed.kubeconfig)) as client:
        yield client


@pytest.fixture(scope="session")
def serve(bed: testbed.Bed, client: ApiClient) -> Serve:
    """Makes a `Served` in a namespace of its own; what is given differs from the manifest's spec."""

    def make(name: str, **spec: Any) -> Served:
        return Served(bed, client, f"{name}-{uuid.uuid4().hex[:6]}", **spec)

    return make

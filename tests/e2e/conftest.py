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
from stack.evidence import ROUTING_TAKES
from stack.served import steps
from support.stories import ERRORS_AT_GATEWAY, Story
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


@pytest.fixture(scope="session")
def failing_version(serve: Serve) -> Iterator[Story]:
    """1.2.0-failing behind the Gateway, taken back at its first stage; several tests look back on it."""
    with serve("failing", strategy=steps(10, 50, 100, hold="5s"), slos=[ERRORS_AT_GATEWAY], replicas=1) as model:
        model.wait_serving("1.0.0")
        with model.load(rate=80, requests=20_000, seconds=240) as load:
            model.roll_out("1.2.0-failing")
            taken_back = model.wait_taken_back("1.2.0-failing").at
            model.wait_for_requests(load, 100, sent_after=taken_back + ROUTING_TAKES)
            yield Story(model, load.stop())

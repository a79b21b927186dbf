"""A light bed for the tests of one session, and a client for as many as talk to it at once."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from kubernetes.client import ApiClient, Configuration
from kubernetes.config import new_client_from_config

import testbed
from stack.operator_process import apply_crds
from support.terminal import Shown


@contextmanager
def light_bed(shown: Shown, purpose: str) -> Iterator[testbed.Bed]:
    """One that knows our kinds, and shows how it comes up; removed at the end."""
    with ExitStack() as until_the_end:
        with shown():
            bed = until_the_end.enter_context(testbed.temporary("light", purpose))
        apply_crds(bed)
        yield bed


@contextmanager
def many_connections(bed: testbed.Bed, most: int) -> Iterator[ApiClient]:
    """The official client, as administrator, for the threads of many stories."""
    configuration = Configuration()
    configuration.connection_pool_maxsize = most
    with new_client_from_config(str(bed.kubeconfig), client_configuration=configuration) as client:
        # It reads the environment for each call, which pytest writes at the same time; these credentials never change.
        client.configuration.refresh_api_key_hook = None
        yield client

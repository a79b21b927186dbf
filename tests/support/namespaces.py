"""Namespaces for tests, each a new one."""

from typing import Any

from kubernetes.client import ApiClient, CoreV1Api, V1Namespace, V1ObjectMeta


def new_namespace(client: ApiClient, prefix: str) -> str:
    """The name of a namespace that is made here and begins like this."""
    made: Any = CoreV1Api(client).create_namespace(V1Namespace(metadata=V1ObjectMeta(generate_name=prefix)))
    return str(made.metadata.name)

"""A watch of all objects of a kind that outlives restarts of the API server."""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import urllib3
from kubernetes.client import ApiClient, ApiException, CustomObjectsApi
from kubernetes.watch import Watch

Object = dict[str, Any]
Note = Callable[[Object, bool], None]
"""Called with an object, and whether it was deleted."""

_RENEW_SECONDS = 20
_SERVER_MAY_BE_BACK = 0.5


class Resource(NamedTuple):
    """A kind, as its URL names it."""

    group: str
    version: str
    plural: str


def follow(client: ApiClient, resource: Resource, note: Note, stopped: threading.Event) -> None:
    """Tell of everything there is and of every change, until the event is set. Some states may be told twice."""
    api, version = CustomObjectsApi(client), ""
    while not stopped.is_set():
        try:
            version = _watch(api, resource, note, version or _list(api, resource, note))
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            if isinstance(error, ApiException) and error.status == 410:
                version = ""
            stopped.wait(_SERVER_MAY_BE_BACK)


def _list(api: CustomObjectsApi, resource: Resource, note: Note) -> str:
    answer: Any = api.list_cluster_custom_object(*resource)
    for item in answer["items"]:
        note(item, False)
    return str(answer["metadata"]["resourceVersion"])


def _watch(api: CustomObjectsApi, resource: Resource, note: Note, version: str) -> str:
    """Follow the changes for a while; returns the resourceVersion to go on from."""
    watch: Any = Watch()
    options = {"timeout_seconds": _RENEW_SECONDS, "_request_timeout": 2 * _RENEW_SECONDS}
    for event in watch.stream(api.list_cluster_custom_object, *resource, resource_version=version, **options):
        note(event["object"], event["type"] == "DELETED")
    return str(watch.resource_version or version)

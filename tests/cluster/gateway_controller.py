"""A controller that accepts every route on a Gateway of its own and moves no request: the light bed has no other."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import yaml
from kubernetes.client import ApiClient, ApiException, CustomObjectsApi
from kubernetes.watch import Watch

import testbed
from support.watching import Resource, follow

_GROUP, _VERSION = "gateway.networking.k8s.io", "v1"
_API_VERSION = f"{_GROUP}/{_VERSION}"
_GATEWAY = "public"
_CONTROLLER = "testbed.example.com/accepts-everything"


@contextmanager
def accepting_routes(bed: testbed.Bed, client: ApiClient, namespace: str) -> Iterator[None]:
    """The Gateway `public` in the namespace, whose routes are accepted, wherever they are, while the context lasts.

    Raises what kept the controller from going on, if anything did.
    """
    api = CustomObjectsApi(client)
    gateway_class = f"accepting-{namespace}"
    bed.apply(yaml.safe_dump_all(_objects(gateway_class, namespace)))
    accepted = {"status": {"conditions": [_condition("Accepted")]}}
    api.patch_cluster_custom_object_status(_GROUP, _VERSION, "gatewayclasses", gateway_class, accepted, **_MERGE)
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as threads:
        controller = threads.submit(_accept_until, api, namespace, stop)
        try:
            yield
        finally:
            stop.set()
            api.delete_cluster_custom_object(_GROUP, _VERSION, "gatewayclasses", gateway_class)
            controller.result()


@contextmanager
def accepting_all_routes(client: ApiClient) -> Iterator[None]:
    """Every route of the cluster is accepted as long as the context lasts, whether or not its Gateway exists."""
    api, stop = CustomObjectsApi(client), threading.Event()

    def accept(route: dict[str, Any], deleted: bool) -> None:
        if not deleted and not _is_accepted(route):
            _accept(api, route)

    controller = (client, Resource(_GROUP, _VERSION, "httproutes"), accept, stop)
    threading.Thread(target=follow, args=controller, name="gateway controller", daemon=True).start()
    try:
        yield
    finally:
        stop.set()


_MERGE: dict[str, Any] = {"_content_type": "application/merge-patch+json"}


def _objects(gateway_class: str, namespace: str) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": _API_VERSION,
            "kind": "GatewayClass",
            "metadata": {"name": gateway_class},
            "spec": {"controllerName": _CONTROLLER},
        },
        {
            "apiVersion": _API_VERSION,
            "kind": "Gateway",
            "metadata": {"name": _GATEWAY, "namespace": namespace},
            "spec": {
                "gatewayClassName": gateway_class,
                "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
            },
        },
    ]


def _accept_until(api: CustomObjectsApi, namespace: str, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            _accept_for_a_while(api, namespace)
        except ApiException as error:
            if error.status < 500:
                raise
            # A busy API server may not get a watch going in time; the next one begins with all routes again.


def _accept_for_a_while(api: CustomObjectsApi, namespace: str) -> None:
    routes: Any = Watch()
    for event in routes.stream(api.list_cluster_custom_object, _GROUP, _VERSION, "httproutes", timeout_seconds=5):
        route = event["object"]
        if event["type"] != "DELETED" and _is_ours(route, namespace) and not _is_accepted(route):
            _accept(api, route)


def _is_ours(route: dict[str, Any], namespace: str) -> bool:
    parents = route["spec"].get("parentRefs", [])
    return any((ref.get("namespace"), ref["name"]) == (namespace, _GATEWAY) for ref in parents)


def _is_accepted(route: dict[str, Any]) -> bool:
    return bool(route.get("status", {}).get("parents"))


def _accept(api: CustomObjectsApi, route: dict[str, Any]) -> None:
    """Once and for all: without a generation it is said of whatever the operator will make of the route."""
    metadata = route["metadata"]
    conditions = [_condition(kind) for kind in ("Accepted", "ResolvedRefs")]
    parents = [
        {"parentRef": ref, "controllerName": _CONTROLLER, "conditions": conditions}
        for ref in route["spec"]["parentRefs"]
    ]
    try:
        api.patch_namespaced_custom_object_status(
            _GROUP,
            _VERSION,
            metadata["namespace"],
            "httproutes",
            metadata["name"],
            {"status": {"parents": parents}},
            **_MERGE,
        )
    except ApiException as error:
        if error.status != 404:  # it was deleted meanwhile
            raise


def _condition(kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": "True",
        "reason": kind,
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }

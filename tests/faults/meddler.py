"""Somebody else who writes what the operator writes, all the time, and in no way that means anything."""

import time
from typing import Any

from kubernetes.client import ApiClient, ApiException, AppsV1Api, CoreV1Api, CustomObjectsApi

from faults.scene import NAME
from support.recorder import ROLLOUTS, ROUTES

LABEL = "example.com/touched"

_MERGE: dict[str, Any] = {"_content_type": "application/merge-patch+json"}


class Meddler:
    """Whoever may write everything in a namespace."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._objects, self._apps, self._core = CustomObjectsApi(client), AppsV1Api(client), CoreV1Api(client)
        self._namespace = namespace

    def touch(self) -> str:
        """Change a label of every object of the rollout; returns its value."""
        value = str(time.monotonic_ns())
        label = {"metadata": {"labels": {LABEL: value}}}
        for resource in (ROLLOUTS, ROUTES):
            group, version, plural = resource
            _if_there(
                self._objects.patch_namespaced_custom_object,
                *(group, version, self._namespace, plural, NAME, label),
                **_MERGE,
            )
        for colour in ("blue", "green"):
            _if_there(self._apps.patch_namespaced_deployment, f"{NAME}-{colour}", self._namespace, label)
            _if_there(self._core.patch_namespaced_service, f"{NAME}-{colour}", self._namespace, label)
        return value

    def touch_status(self) -> None:
        """Have the status say what is not so, and means nothing."""
        group, version, plural = ROLLOUTS
        _if_there(
            self._objects.patch_namespaced_custom_object_status,
            *(group, version, self._namespace, plural, NAME, {"status": {"observedGeneration": 0}}),
            **_MERGE,
        )


def _if_there(write: Any, *arguments: Any, **options: Any) -> None:
    try:
        write(*arguments, **options)
    except ApiException as error:
        if error.status != 404:
            raise

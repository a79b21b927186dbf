"""The Kubernetes API as the operator uses it: a handful of calls that take and return JSON objects.

Built on `kubernetes.aio` for what is hard (kubeconfig, service account tokens that rotate, TLS, proxies) and without
its typed models and dynamic client, which cost four times the CPU of the request itself.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from modelrollout import __version__
from modelrollout.api.labels import MANAGER
from modelrollout.api.manifests import seen_as
from modelrollout.api.objects import Live, Manifest
from modelrollout.controller.kinds import Key, Kind, key_of, kind_of
from modelrollout.controller.settings import CannotStartError

PAGE = 500
"""Objects per page of a list: decoding more at once would hold up everything else."""

_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=90)
_JSON = "application/json"
_METADATA = f"{_JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST = f"{_JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_REFUSALS = {400, 403, 413, 422}
_MERGE_PATCH = "application/merge-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"


class ApiError(Exception):
    """The API server did not do what it was asked for; the text is its message."""


class NotFoundError(ApiError):
    """The object, or its whole kind, does not exist."""


class ConflictError(ApiError):
    """The object has changed since it was looked at, or exists already."""


class ExpiredError(ApiError):
    """A list took so long that its remaining pages are gone; start again."""


class RefusedError(ApiError):
    """Invalid or forbidden: the same request gets the same answer until somebody changes something."""


class EndingNamespaceError(RefusedError):
    """The namespace is being deleted and takes nothing new."""


class UnavailableError(ApiError):
    """No answer, or one that says to come back later. A write may have happened or not."""


class DeposedError(ApiError):
    """Nothing was sent: this process does not lead, and another one may."""


class Page(NamedTuple):
    """Some objects of a list, and the resourceVersion that the whole list shows."""

    items: list[Live]
    resource_version: str


class KubeApi(Protocol):
    """What the operator needs of the API server. Every call raises an `ApiError` when it fails."""

    async def get(self, kind: Kind, key: Key) -> Live:
        """The object as it is now."""

    def pages(self, kind: Kind, *, namespace: str = "", selector: str = "", fields: str = "") -> AsyncIterator[Page]:
        """All objects of a kind, of one namespace or of all, page by page."""

    def metadata_pages(self, kind: Kind, *, namespace: str = "", selector: str = "") -> AsyncIterator[Page]:
        """The same, with nothing of the objects but their metadata."""

    def watch_metadata(
        self, kind: Kind, *, namespace: str = "", selector: str = "", resource_version: str, seconds: float
    ) -> AsyncIterator[tuple[str, Live]]:
        """What happens from a resourceVersion on: ADDED, MODIFIED or DELETED, and the metadata of the object.

        Ends after so many seconds, or sooner.
        """

    async def apply(self, manifest: Manifest, *, force: bool) -> Live:
        """Server-side apply: what the manifest says becomes ours.

        Raises ConflictError if the manifest names a resourceVersion that is no longer the object's, and, without
        `force`, if somebody else owns one of its fields with another value.
        """

    async def patch(self, kind: Kind, key: Key, changes: Mapping[str, Any]) -> Live:
        """JSON merge patch; fenced like `apply` if it names a resourceVersion."""

    async def replace_status(self, manifest: Manifest) -> Live:
        """The status of the manifest in place of the one stored, under the manifest's resourceVersion."""

    async def delete(self, live: Live) -> None:
        """Delete an object in the background, unless it has changed since it was looked at.

        Raises NotFoundError when it is gone already, and ConflictError when it has changed.
        """

    async def create(self, manifest: Manifest) -> Live:
        """A new object."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One answered (or unanswered: code 0) request, for the operator's own metrics."""

    verb: str
    kind: Kind
    code: int


class KubeClient:
    """`KubeApi` over HTTP."""

    def __init__(
        self,
        api: ApiClient,
        *,
        on_answer: Callable[[Answered], None] = lambda _: None,
        may_write: Callable[[], bool] = lambda: True,
    ) -> None:
        """`may_write` is asked before each write; while it says no, a write raises DeposedError."""
        self._api = api
        self._on_answer = on_answer
        self._may_write = may_write

    def writing_while(self, may_write: Callable[[], bool]) -> "KubeClient":
        """The same client, for whoever may not always write."""
        return KubeClient(self._api, on_answer=self._on_answer, may_write=may_write)

    async def get(self, kind: Kind, key: Key) -> Live:
        return await self._send("get", kind, kind.path(*key))

    def pages(self, kind: Kind, *, namespace: str = "", selector: str = "", fields: str = "") -> AsyncIterator[Page]:
        return self._pages(kind, namespace, _selecting(selector, fields), _JSON)

    def metadata_pages(self, kind: Kind, *, namespace: str = "", selector: str = "") -> AsyncIterator[Page]:
        return self._pages(kind, namespace, _selecting(selector), _METADATA_LIST)

    async def _pages(self, kind: Kind, namespace: str, query: dict[str, str], accept: str) -> AsyncIterator[Page]:
        query = query | {"limit": str(PAGE)}
        while True:
            answer = await self._send("list", kind, kind.path(namespace), query, accept=accept)
            metadata = answer["metadata"]
            # items of a list name neither their kind nor their version; a list of metadata says null for no items
            named = {"apiVersion": kind.api_version, "kind": kind.kind}
            yield Page([named | item for item in answer["items"] or ()], metadata["resourceVersion"])
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def watch_metadata(
        self, kind: Kind, *, namespace: str = "", selector: str = "", resource_version: str, seconds: float
    ) -> AsyncIterator[tuple[str, Live]]:
        query = _selecting(selector) | {
            "watch": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(int(seconds)),
            # so that silence for longer than the API server sends these means that the connection is dead
            "allowWatchBookmarks": "true",
        }
        path, request = kind.path(namespace), f"watch {kind.path(namespace)}"
        try:
            response = await self._request("GET", path, query, accept=_METADATA, limits=_WATCH_TIMEOUT)
            self._on_answer(Answered(verb="watch", kind=kind, code=response.status))
            try:
                if response.status >= 300:
                    raise _error(response.status, request, await response.read())
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _error(int(event["object"].get("code", 500)), request, line)
                    if event["type"] != "BOOKMARK":
                        yield event["type"], event["object"]
            finally:
                response.close()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise UnavailableError(f"{request}: {error or type(error).__name__}") from error

    async def apply(self, manifest: Manifest, *, force: bool) -> Live:
        kind, key = kind_of(manifest), key_of(manifest)
        query = {"fieldManager": MANAGER, "force": "true" if force else "false"}
        return await self._send("apply", kind, kind.path(*key), query, body=manifest, content_type=_APPLY_PATCH)

    async def patch(self, kind: Kind, key: Key, changes: Mapping[str, Any]) -> Live:
        query = {"fieldManager": MANAGER}
        return await self._send("patch", kind, kind.path(*key), query, body=changes, content_type=_MERGE_PATCH)

    async def replace_status(self, manifest: Manifest) -> Live:
        kind, key = kind_of(manifest), key_of(manifest)
        return await self._send("update", kind, kind.path(*key, "status"), {"fieldManager": MANAGER}, body=manifest)

    async def delete(self, live: Live) -> None:
        kind, key = kind_of(live), key_of(live)
        body = {"propagationPolicy": "Background", "preconditions": seen_as(live["metadata"])}
        await self._send("delete", kind, kind.path(*key), body=body)

    async def create(self, manifest: Manifest) -> Live:
        kind, key = kind_of(manifest), key_of(manifest)
        return await self._send("create", kind, kind.path(key.namespace), {"fieldManager": MANAGER}, body=manifest)

    async def _send(
        self,
        verb: str,
        kind: Kind,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> Live:
        code, text = 0, b""
        try:
            response = await self._request(
                _METHODS[verb], path, query, body=body, content_type=content_type, accept=accept
            )
            code, text = response.status, await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UnavailableError(f"{verb} {path}: {error or type(error).__name__}") from error
        finally:
            self._on_answer(Answered(verb=verb, kind=kind, code=code))
        if code >= 300:
            raise _error(code, f"{verb} {path}", text)
        answer: Live = json.loads(text)
        return answer

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
        limits: aiohttp.ClientTimeout = _TIMEOUT,
    ) -> aiohttp.ClientResponse:
        configuration = self._api.configuration
        headers = {"Accept": accept, "Content-Type": content_type, "User-Agent": f"{MANAGER}/{__version__}"}
        token = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token:
            headers["Authorization"] = token
        url = configuration.host + path + (f"?{urlencode(query)}" if query else "")
        if method != "GET" and not self._may_write():
            raise DeposedError(f"{method} {path} was not sent: this process does not lead any more")
        answer = await self._api.rest_client.request(  # type: ignore[no-untyped-call]
            method, url, headers=headers, body=body, _request_timeout=limits
        )
        response: aiohttp.ClientResponse = answer.response
        return response


_METHODS = {
    "get": "GET",
    "list": "GET",
    "apply": "PATCH",
    "patch": "PATCH",
    "update": "PUT",
    "delete": "DELETE",
    "create": "POST",
}


@asynccontextmanager
async def connect(*, on_answer: Callable[[Answered], None] = lambda _: None) -> AsyncIterator[KubeClient]:
    """A client for the cluster that the pod runs in, or else for the current context of the kubeconfig.

    Raises:
        CannotStartError: there is neither.
    """
    configuration = Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        try:
            await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise CannotStartError(
                f"no cluster to work in: {error}; run in a pod with a service account, or set KUBECONFIG to a file "
                "whose current context is the cluster"
            ) from error
    async with ApiClient(configuration) as api:
        yield KubeClient(api, on_answer=on_answer)


def _selecting(labels: str, fields: str = "") -> dict[str, str]:
    selectors = {"labelSelector": labels, "fieldSelector": fields}
    return {name: selector for name, selector in selectors.items() if selector}


def _error(code: int, request: str, text: bytes) -> ApiError:
    message = f"{request}: {code} {_message(text)}"
    if code == 404:
        return NotFoundError(message)
    if code == 409:
        return ConflictError(message)
    if code == 410:
        return ExpiredError(message)
    if code == 403 and b'"NamespaceTerminating"' in text:
        return EndingNamespaceError(_message(text))
    if code in _REFUSALS:
        return RefusedError(_message(text))
    return UnavailableError(message)


def _message(text: bytes) -> str:
    """What the API server says: the message of a Status, or the body when something else answered."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:200].decode(errors="replace")

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration

from modelrollout.controller.client import (
    Answered,
    ApiError,
    ConflictError,
    DeposedError,
    EndingNamespaceError,
    ExpiredError,
    KubeClient,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from modelrollout.controller.kinds import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    GATEWAY_CLASSES,
    MODEL_ROLLOUTS,
    SERVICES,
    Key,
)

KEY = Key("ml", "scorer")
SEEN = {"uid": "uid-1", "resourceVersion": "7"}


class Server:
    """Answers whatever it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        text = await request.text()
        self.asked.append(
            {
                "method": request.method,
                "path": request.path,
                "query": dict(request.query),
                "type": request.content_type,
                "accept": request.headers["Accept"],
                "authorization": request.headers.get("Authorization"),
                "body": json.loads(text) if text else None,
            }
        )
        status, body = self.answers.pop(0) if self.answers else (200, {})
        if isinstance(body, str):
            return web.Response(text=body, status=status)
        return web.json_response(body, status=status)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    async with TestServer(application) as running:
        server.url = str(running.make_url("")).rstrip("/")
        yield server


@pytest.fixture
async def counted() -> list[Answered]:
    return []


@pytest.fixture
async def client(server: Server, counted: list[Answered]) -> AsyncIterator[KubeClient]:
    configuration = Configuration(host=server.url, api_key={"BearerToken": "Bearer secret"})
    async with ApiClient(configuration) as api:
        yield KubeClient(api, on_answer=counted.append)


async def test_applies_on_the_server_side_as_our_field_manager(client: KubeClient, server: Server) -> None:
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": KEY._asdict(), "spec": {"replicas": 1}}
    server.answers = [(201, {"answer": True})]
    assert await client.apply(manifest, force=True) == {"answer": True}
    assert server.asked == [
        {
            "method": "PATCH",
            "path": "/apis/apps/v1/namespaces/ml/deployments/scorer",
            "query": {"fieldManager": "modelrollout", "force": "true"},
            "type": "application/apply-patch+yaml",
            "accept": "application/json",
            "authorization": "Bearer secret",
            "body": manifest,
        }
    ]


async def test_takes_over_what_is_somebody_elses_only_by_force(client: KubeClient, server: Server) -> None:
    await client.apply({"apiVersion": "v1", "kind": "Service", "metadata": KEY._asdict()}, force=False)
    assert server.asked[0]["query"]["force"] == "false"


async def test_replaces_the_status_alone(client: KubeClient, server: Server) -> None:
    manifest = {"apiVersion": MODEL_ROLLOUTS.api_version, "kind": "ModelRollout", "metadata": KEY._asdict()}
    await client.replace_status(manifest)
    (asked,) = server.asked
    assert (asked["method"], asked["type"]) == ("PUT", "application/json")
    assert asked["path"] == "/apis/modelrollout.io/v1alpha1/namespaces/ml/modelrollouts/scorer/status"


async def test_patches_deletes_gets_and_creates(client: KubeClient, server: Server) -> None:
    await client.patch(SERVICES, KEY, {"metadata": {}})
    await client.delete({"apiVersion": "v1", "kind": "Service", "metadata": KEY._asdict() | SEEN})
    await client.get(GATEWAY_CLASSES, Key("", "envoy"))
    await client.create({"apiVersion": EVENTS.api_version, "kind": "Event", "metadata": KEY._asdict()})
    assert [(asked["method"], asked["path"], asked["type"]) for asked in server.asked] == [
        ("PATCH", "/api/v1/namespaces/ml/services/scorer", "application/merge-patch+json"),
        ("DELETE", "/api/v1/namespaces/ml/services/scorer", "application/json"),
        ("GET", "/apis/gateway.networking.k8s.io/v1/gatewayclasses/envoy", "application/json"),
        ("POST", "/apis/events.k8s.io/v1/namespaces/ml/events", "application/json"),
    ]
    assert server.asked[1]["body"]["preconditions"] == SEEN


async def test_writes_nothing_while_it_may_not(client: KubeClient, server: Server) -> None:
    may_write = False
    restricted = client.writing_while(lambda: may_write)
    object_of_ours = {"apiVersion": "v1", "kind": "Service", "metadata": {**KEY._asdict(), **SEEN}}
    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: restricted.apply(object_of_ours, force=True),
        lambda: restricted.patch(SERVICES, KEY, {}),
        lambda: restricted.replace_status(object_of_ours),
        lambda: restricted.delete(object_of_ours),
        lambda: restricted.create(object_of_ours),
    ]
    for write in writes:
        with pytest.raises(DeposedError, match="does not lead"):
            await write()
    await restricted.get(SERVICES, KEY)
    assert [asked["method"] for asked in server.asked] == ["GET"]
    may_write = True
    for write in writes:
        await write()
    assert len(server.asked) == 1 + len(writes)


async def test_lists_page_by_page_and_names_the_kind_of_every_item(client: KubeClient, server: Server) -> None:
    server.answers = [
        (200, {"metadata": {"resourceVersion": "7", "continue": "more"}, "items": [{"metadata": {"name": "a"}}]}),
        (200, {"metadata": {"resourceVersion": "7", "continue": ""}, "items": [{"metadata": {"name": "b"}}]}),
    ]
    pages = [page async for page in client.pages(DEPLOYMENTS, namespace="ml", selector="x=y")]
    named = {"apiVersion": "apps/v1", "kind": "Deployment"}
    assert pages == [([named | {"metadata": {"name": name}}], "7") for name in ("a", "b")]
    assert [asked["query"] for asked in server.asked] == [
        {"limit": "500", "labelSelector": "x=y"},
        {"limit": "500", "labelSelector": "x=y", "continue": "more"},
    ]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, RefusedError),
        (401, UnavailableError),
        (403, RefusedError),
        (404, NotFoundError),
        (409, ConflictError),
        (410, ExpiredError),
        (422, RefusedError),
        (429, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
    ],
)
async def test_tells_apart_what_can_be_done_about_a_failure(
    client: KubeClient, server: Server, code: int, error: type[ApiError]
) -> None:
    server.answers = [(code, {"kind": "Status", "message": "the words of the API server"})]
    with pytest.raises(error, match="the words of the API server"):
        await client.get(SERVICES, KEY)


async def test_a_namespace_that_ends_is_told_apart(client: KubeClient, server: Server) -> None:
    causes = [{"reason": "NamespaceTerminating", "message": "namespace ml is being terminated", "field": "x"}]
    server.answers = [(403, {"kind": "Status", "message": "forbidden", "details": {"causes": causes}})]
    with pytest.raises(EndingNamespaceError):
        await client.apply({"apiVersion": "v1", "kind": "Service", "metadata": KEY._asdict()}, force=True)


async def test_what_answers_may_not_be_an_api_server(client: KubeClient, server: Server) -> None:
    server.answers = [(502, "Bad Gateway")]
    with pytest.raises(UnavailableError, match=r"502.*Bad Gateway"):
        await client.get(SERVICES, KEY)


async def test_nobody_answers(client: KubeClient, server: Server, counted: list[Answered]) -> None:
    await client.get(SERVICES, KEY)
    client._api.configuration.host = "http://127.0.0.1:1"
    with pytest.raises(UnavailableError, match="get /api/v1/namespaces/ml/services/scorer"):
        await client.get(SERVICES, KEY)
    assert counted == [
        Answered(verb="get", kind=SERVICES, code=200),
        Answered(verb="get", kind=SERVICES, code=0),
    ]


async def test_lists_nothing_but_metadata_where_that_is_enough(client: KubeClient, server: Server) -> None:
    server.answers = [(200, {"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "a"}}]})]
    pages = [page async for page in client.metadata_pages(CONFIG_MAPS, namespace="ml")]
    assert pages[0].resource_version == "7"
    assert (server.asked[0]["path"], server.asked[0]["query"]) == ("/api/v1/namespaces/ml/configmaps", {"limit": "500"})
    assert "as=PartialObjectMetadataList" in server.asked[0]["accept"]


async def test_lists_nothing(client: KubeClient, server: Server) -> None:
    server.answers = [(200, {"metadata": {"resourceVersion": "7"}, "items": None})]
    assert [page.items async for page in client.metadata_pages(CONFIG_MAPS, namespace="ml")] == [[]]


def stream(*events: dict[str, Any]) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


async def test_leaves_out_what_is_not_selected(client: KubeClient, server: Server) -> None:
    server.answers = [(200, {"metadata": {"resourceVersion": "7"}, "items": []}), (200, stream())]
    not_ours = "managed-by!=modelrollout"
    [page async for page in client.metadata_pages(CONFIG_MAPS, selector=not_ours)]
    [one async for one in client.watch_metadata(CONFIG_MAPS, selector=not_ours, resource_version="7", seconds=600)]
    assert [asked["query"]["labelSelector"] for asked in server.asked] == [not_ours, not_ours]


async def watched(client: KubeClient) -> list[tuple[str, str]]:
    changes = client.watch_metadata(CONFIG_MAPS, resource_version="7", seconds=600)
    return [(event, manifest["metadata"]["name"]) async for event, manifest in changes]


async def test_watches_metadata_until_the_api_server_ends_it(
    client: KubeClient, server: Server, counted: list[Answered]
) -> None:
    events = [{"type": kind, "object": {"metadata": {"name": "a"}}} for kind in ("ADDED", "BOOKMARK", "DELETED")]
    server.answers = [(200, stream(*events))]
    assert await watched(client) == [("ADDED", "a"), ("DELETED", "a")]
    assert server.asked[0]["query"] == {
        "watch": "true",
        "resourceVersion": "7",
        "timeoutSeconds": "600",
        "allowWatchBookmarks": "true",
    }
    assert "as=PartialObjectMetadata;" in server.asked[0]["accept"]
    assert counted == [Answered(verb="watch", kind=CONFIG_MAPS, code=200)]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, stream({"type": "ERROR", "object": {"code": 410, "message": "too old"}}), ExpiredError),
        (200, "no JSON", UnavailableError),
        (403, {"message": "configmaps is forbidden"}, RefusedError),
        (503, {}, UnavailableError),
    ],
)
async def test_a_watch_says_why_it_failed(
    client: KubeClient, server: Server, status: int, body: Any, error: type[ApiError]
) -> None:
    server.answers = [(status, body)]
    with pytest.raises(error):
        await watched(client)

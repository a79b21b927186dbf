"""Warm-up requests against a real HTTP server on the loopback interface."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from modelrollout.api.spec import Service, WarmUp
from modelrollout.workloads.warm_up import Target, targets, warm_up

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def wanted(**fields: Any) -> WarmUp:
    return WarmUp.model_validate({"path": "/v2/models/m/infer", "requests": 3, "timeout": "2s", **fields})


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Target]:
    """A pod whose every path is answered by the handler."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield Target(pod="fraud-green-x", ip="127.0.0.1", port=runner.addresses[0][1])
    finally:
        await runner.cleanup()


class Answering:
    """Answers with the given statuses, then with 200, and keeps what it was asked."""

    def __init__(self, *statuses: int, always: int | None = None) -> None:
        self._statuses: Iterator[int] = iter(statuses)
        self._then = always or 200
        self.asked: list[tuple[str, str, str, str | None]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path, await request.text(), request.headers.get("Content-Type")))
        return web.Response(status=next(self._statuses, self._then), headers={"Location": "/elsewhere"})


def pod(name: str = "p", *, ready: str = "True", **fields: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "server", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": ready}]},
        **fields,
    }


async def test_a_pod_gets_the_requests_that_the_spec_describes() -> None:
    server = Answering()
    async with serving(server.answer) as target:
        assert await warm_up([target], wanted(body='{"x": 1}')) == ""
    assert server.asked == [("POST", "/v2/models/m/infer", '{"x": 1}', "application/json")] * 3


async def test_a_get_carries_neither_body_nor_content_type() -> None:
    server = Answering()
    async with serving(server.answer) as target:
        assert await warm_up([target], wanted(method="GET", requests=1)) == ""
    assert server.asked == [("GET", "/v2/models/m/infer", "", None)]


async def test_failures_at_first_are_made_up_for() -> None:
    server = Answering(503, 500, 429)
    async with serving(server.answer) as target:
        assert await warm_up([target], wanted()) == ""
    assert len(server.asked) == 6


async def test_a_slow_first_answer_is_waited_for() -> None:
    answered: list[int] = []

    async def compiling(_: web.Request) -> web.Response:
        await asyncio.sleep(0 if answered else 0.3)
        answered.append(200)
        return web.Response()

    async with serving(compiling) as target:
        assert await warm_up([target], wanted()) == ""
    assert len(answered) == 3


async def test_an_answer_that_takes_too_long_is_asked_for_again() -> None:
    held = asyncio.Event()
    asked: list[int] = []

    async def stuck_once(_: web.Request) -> web.Response:
        asked.append(1)
        if len(asked) == 1:
            await held.wait()
        return web.Response()

    async with serving(stuck_once) as target:
        assert await warm_up([target], wanted(timeout="300ms")) == ""
        held.set()
    assert len(asked) == 4


async def test_a_pod_that_never_answers_is_given_up() -> None:
    held = asyncio.Event()

    async def stuck(_: web.Request) -> web.Response:
        await held.wait()
        return web.Response()

    async with serving(stuck) as target:
        said = await warm_up([target], wanted(timeout="100ms", requests=2))
        held.set()
    assert "pod fraud-green-x, warm-up request 1 of 2" in said
    assert said.endswith("no answer within 100ms")


async def test_a_pod_that_keeps_failing_is_named_with_its_status() -> None:
    async with serving(Answering(always=500).answer) as target:
        said = await warm_up([target], wanted(timeout="100ms"))
    assert said == (
        f"pod fraud-green-x, warm-up request 1 of 3: POST http://127.0.0.1:{target.port}/v2/models/m/infer: "
        "500 Internal Server Error"
    )


@pytest.mark.parametrize("status", [302, 400, 404])
async def test_a_request_that_is_wrong_is_not_sent_again(status: int) -> None:
    server = Answering(always=status)
    async with serving(server.answer) as target:
        said = await warm_up([target], wanted(timeout="1h"))
    assert f": {status} " in said
    assert len(server.asked) == 1


async def test_a_pod_that_does_not_listen_is_named() -> None:
    async with serving(Answering().answer) as target:
        pass
    said = await warm_up([target], wanted(timeout="50ms"))
    assert said.startswith("pod fraud-green-x, warm-up request 1 of 3")
    assert "connection" in said.lower()


async def test_one_bad_pod_among_good_ones_is_the_only_one_named() -> None:
    async with serving(Answering().answer) as good, serving(Answering(always=404).answer) as bad:
        said = await warm_up([good, Target(pod="bad", ip=bad.ip, port=bad.port), good], wanted())
    assert said.startswith("pod bad,")
    assert "; " not in said


async def test_more_pods_than_are_asked_at_once_all_get_their_turn() -> None:
    server = Answering()
    async with serving(server.answer) as target:
        assert await warm_up([target] * 40, wanted(requests=1)) == ""
    assert len(server.asked) == 40


async def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with serving(Answering().answer) as target:
        assert await warm_up([target], wanted()) == ""


def test_the_port_of_a_pod_may_be_given_by_name_or_number() -> None:
    assert targets([pod()], Service(target_port="http")) == [Target(pod="p", ip="10.0.0.7", port=8080)]
    assert targets([pod()], Service(target_port=9000)) == [Target(pod="p", ip="10.0.0.7", port=9000)]


def test_only_ready_pods_that_stay_are_asked() -> None:
    leaving = pod("leaving", metadata={"name": "leaving", "deletionTimestamp": "2026-01-01T00:00:00Z"})
    new = {"metadata": {"name": "new"}, "spec": {"containers": []}, "status": {}}
    assert [target.pod for target in targets([pod("a"), pod("b", ready="False"), leaving, new], Service())] == ["a"]


def test_a_sidecar_may_be_what_listens_but_not_a_container_that_is_over() -> None:
    spec = {
        "initContainers": [
            {"name": "fetch", "ports": [{"name": "http", "containerPort": 1}]},
            {"name": "proxy", "restartPolicy": "Always", "ports": [{"name": "http", "containerPort": 2}]},
        ],
        "containers": [{"name": "server"}],
    }
    assert [target.port for target in targets([pod(spec=spec)], Service(target_port="http"))] == [2]


def test_a_port_that_no_container_has_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"spec.service.targetPort is 'grpc', but pod p .* its ports: http"):
        targets([pod()], Service(target_port="grpc"))


def test_an_address_of_version_6_is_written_in_brackets() -> None:
    assert Target(pod="p", ip="fd00::7", port=8080).origin == "http://[fd00::7]:8080"

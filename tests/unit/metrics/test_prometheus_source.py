"""What becomes of the answers of a server: real HTTP on loopback, answers of the test's own making."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from modelrollout.metrics.access import Access
from modelrollout.metrics.prometheus import (
    ManySeries,
    Matrix,
    NoData,
    NotANumber,
    Prometheus,
    QueryError,
    RawSeries,
    Single,
    Unavailable,
    Value,
)
from support.http_servers import answering


@asynccontextmanager
async def prometheus(status: int, body: object, asked: list[dict[str, list[str]]]) -> AsyncIterator[Prometheus]:
    """A source at a server that answers every question so, and notes the form it was sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            asked.append(parse_qs(self.rfile.read(length).decode()) | {"path": [self.path]})
            answer = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    source = Prometheus(Access(url=f"http://127.0.0.1:{server.server_address[1]}/"))
    with answering(server):
        try:
            yield source
        finally:
            source.close()


def success(result: object, **more: object) -> dict[str, object]:
    return {"status": "success", "data": {"resultType": "vector", "result": result}, **more}


def vector(*values: str) -> list[dict[str, object]]:
    return [{"metric": {"pod": str(number)}, "value": [1.5, value]} for number, value in enumerate(values)]


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ([], NoData()),
        (vector("0.25"), Value(0.25)),
        (vector("1", "2"), ManySeries(2)),
        ([1.5, "7"], Value(7)),
        ([1.5, "a text"], QueryError("the query yields a text, not a value")),
        ([{"metric": {}, "values": [[1.5, "1"]]}], QueryError("the query yields a range vector, not a value")),
        (vector("+Inf"), NotANumber(float("inf"))),
    ],
)
async def test_what_a_query_may_yield(result: object, answer: Single) -> None:
    async with prometheus(200, success(result), []) as source:
        assert await source.value("q") == answer


async def test_not_a_number_is_no_value() -> None:
    async with prometheus(200, success(vector("NaN")), []) as source:
        assert isinstance(await source.value("q"), NotANumber)


async def test_raw_samples_come_as_they_are() -> None:
    samples: Any = [[1.5, "1"], [2.5, "0"]]
    result = [{"metric": {"__name__": "up"}, "values": samples}]
    async with prometheus(200, success(result), []) as source:
        assert await source.matrix("up[5s]") == Matrix([RawSeries({"__name__": "up"}, samples)])


async def test_long_queries_go_in_the_body() -> None:
    """Proxies and servers limit the length of a URL; a question for a fleet is longer."""
    asked: list[dict[str, list[str]]] = []
    question = "|".join(f"rollout-{number}" for number in range(5000))
    async with prometheus(200, success([]), asked) as source:
        await source.matrix(question)
    assert asked == [{"query": [question], "path": ["/api/v1/query"]}]


async def test_a_value_of_the_past_is_asked_for_by_its_time() -> None:
    asked: list[dict[str, list[str]]] = []
    async with prometheus(200, success(vector("0.25")), asked) as source:
        assert await source.value("q", datetime(2026, 3, 1, 12, 1, tzinfo=UTC)) == Value(0.25)
    assert [float(moment) for moment in asked[0]["time"]] == [1772366460]


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (400, {"error": 'invalid parameter "query": 1:4: parse error: no'}, QueryError("1:4: parse error: no")),
        (422, {"error": "many-to-many matching not allowed"}, QueryError("many-to-many matching not allowed")),
        (400, b"<html>", QueryError("HTTP status 400")),
        (503, b"", Unavailable("Prometheus cannot be asked: it answers 503 Service Unavailable")),
        (204, b"", Unavailable("Prometheus cannot be asked: it answers 204 No Content")),
        (200, b"<html>", Unavailable("what answers at the Prometheus URL does not speak its API")),
        (200, {"status": "success"}, Unavailable("what answers at the Prometheus URL does not speak its API")),
        (200, success(vector("1"), warnings=["store is down"]), QueryError("only a partial answer: store is down")),
    ],
)
async def test_what_may_be_wrong_with_an_answer(status: int, body: object, answer: Single) -> None:
    async with prometheus(status, body, []) as source:
        assert await source.value("q") == answer
        assert await source.matrix("q") == answer


@pytest.mark.parametrize(
    "remark",
    [
        'PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "q" (1:6)',
        "PromQL warning: quantile value should be between 0 and 1, got 95 (1:10)",
    ],
)
async def test_a_remark_on_the_query_takes_nothing_from_the_answer(remark: str) -> None:
    async with prometheus(200, success(vector("1"), warnings=[remark], infos=[remark]), []) as source:
        assert await source.value("q") == Value(1)
    both = [remark, "store is down"]
    async with prometheus(200, success(vector("1"), warnings=both), []) as source:
        assert await source.value("q") == QueryError("only a partial answer: store is down")


async def test_nobody_listens() -> None:
    source = Prometheus(Access(url="http://127.0.0.1:1"))
    answer = await source.value("q")
    source.close()
    assert answer == Unavailable("Prometheus cannot be asked: [Errno 111] Connection refused")

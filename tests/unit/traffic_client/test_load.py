"""Every request is counted once, whatever becomes of it, and nothing is sent beyond the bounds."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import click
import pytest

import testbed
from testbed.network import Network
from traffic_client import Load
from traffic_client.__main__ import refuse_foreign

PREDICTION = {"model_name": "digits", "model_version": "1.0.0", "outputs": [{"name": "predict", "data": [3]}]}


class Server(ThreadingHTTPServer):
    """Answers every request as it is told to and notes what came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.body = json.dumps(PREDICTION)
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.connections: set[tuple[str, int]] = set()
        self.gate = threading.Event()
        self.gate.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v2/models/digits/infer"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((dict(self.headers), body))
        self.server.connections.add(self.client_address)
        self.server.gate.wait(10)
        answer = self.server.body.encode()
        self.send_response(self.server.status)
        self.send_header("x-model-variant", "candidate")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.gate.set()
        server.shutdown()
        thread.join()


def test_sends_as_many_as_it_is_told_to_and_counts_all(server: Server) -> None:
    headers = {"x-ring": "internal", "x-team": "a b"}
    with Load(server.url, host="digits.example.com", headers=headers, rate=500, requests=50, seconds=30) as load:
        answers = load.wait(timeout=30)
    assert len(answers) == len(server.requests) == 50
    assert {(answer.status, answer.variant, answer.version, answer.error) for answer in answers} == {
        (200, "candidate", "1.0.0", "")
    }
    sent, body = server.requests[0]
    assert {"Host": "digits.example.com", **headers}.items() <= sent.items()
    assert body["inputs"][0]["shape"] == [1, 64]
    assert len(body["inputs"][0]["data"]) == 64


def test_keeps_connections_or_makes_one_for_each_request(server: Server) -> None:
    with Load(server.url, rate=500, requests=40, seconds=30, connections=4) as load:
        load.wait(timeout=30)
    assert len(server.connections) <= 4
    server.connections.clear()
    with Load(server.url, rate=500, requests=40, seconds=30, keep_alive=False) as load:
        load.wait(timeout=30)
    assert len(server.connections) == 40


def test_keeps_the_rate(server: Server) -> None:
    with Load(server.url, rate=100, requests=40, seconds=30) as load:
        answers = load.wait(timeout=30)
    sent = sorted(answer.sent_at for answer in answers)
    assert sent[-1] - sent[0] > 0.35, "40 requests at 100 a second take 0.39 s"


def test_waits_for_requests_sent_after_a_moment(server: Server) -> None:
    with Load(server.url, rate=200, requests=10_000, seconds=30) as load:
        moment = time.time() + 0.5
        load.wait_for(3, sent_after=moment, timeout=20)
        answers = load.stop()
    assert sum(answer.sent_at > moment for answer in answers) >= 3


def test_gives_up_waiting_for_requests_that_are_not_sent(server: Server) -> None:
    with Load(server.url, rate=200, requests=3, seconds=30) as load:
        load.wait(timeout=30)
        with pytest.raises(TimeoutError, match=r"the sender has ended: 4 in all is wanted, there are 3 answers"):
            load.wait_for(1, timeout=20)
    with Load(server.url, rate=0.1, requests=3, seconds=30) as load:
        with pytest.raises(TimeoutError, match=r"not within 0.5 s: one sent late enough"):
            load.wait_for(1, sent_after=time.time() + 60, timeout=0.5)
        load.stop()


def test_sends_nothing_once_time_is_over(server: Server) -> None:
    with Load(server.url, rate=50, requests=10_000, seconds=0.5) as load:
        answers = load.wait(timeout=30)
    assert 0 < len(answers) <= 25
    assert len(server.requests) == len(answers)


def test_stopping_waits_for_the_answers_of_what_was_sent(server: Server) -> None:
    server.gate.clear()
    with Load(server.url, rate=1000, requests=1000, seconds=30, connections=3) as load:
        wait_for(lambda: len(server.requests) == 3, "three requests under way")
        threading.Timer(0.2, server.gate.set).start()
        answers = load.stop()
    assert 3 <= len(answers) == len(server.requests) < 1000
    assert all(answer.is_good for answer in answers)


@pytest.mark.parametrize(
    ("status", "body", "counted_as"),
    [
        (500, "Internal Server Error", (500, "Internal Server Error")),
        (200, '{"outputs": []}', (0, 'no prediction: {"outputs": []}')),
        (200, "<html>", (0, "no prediction: <html>")),
    ],
)
def test_what_is_no_prediction_has_failed(server: Server, status: int, body: str, counted_as: tuple[int, str]) -> None:
    server.status, server.body = status, body
    with Load(server.url, rate=500, requests=5, seconds=30) as load:
        answers = load.wait(timeout=30)
    assert [(answer.status, answer.error) for answer in answers] == [counted_as] * 5
    assert not any(answer.is_good for answer in answers)


def test_no_connection_is_a_failed_request() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        with Load(url, rate=500, requests=5, seconds=30) as load:
            answers = load.wait(timeout=30)
    assert [answer.status for answer in answers] == [0] * 5
    assert all("ClientConnectorError" in answer.error for answer in answers)


def test_a_sender_that_fails_is_not_taken_for_one_that_had_nothing_to_tell() -> None:
    sender = Load("http://127.0.0.1/", rate=1, requests=1, seconds=1, connections=0)
    with pytest.raises(RuntimeError, match="connections"), sender:
        sender.wait(timeout=30)


@pytest.fixture
def bed_in_slot_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one bed of the machine."""
    monkeypatch.setattr(testbed, "ranges", lambda: Network(3).ranges)


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com/", "http://1.1.1.1/", "http://10.0.0.1/", "http://192.168.1.1/", "http://172.18.0.2/"),
        *("http://10.96.4.7/", "http://10.97.4.2/", "http://10.244.4.9/"),
    ],
)
@pytest.mark.usefixtures("bed_in_slot_3")
def test_nothing_but_beds_is_asked(url: str) -> None:
    with pytest.raises(click.UsageError):
        refuse_foreign(url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:80/", "http://10.96.3.7/x", "http://10.97.3.2/", "http://10.244.3.9/"]
)
@pytest.mark.usefixtures("bed_in_slot_3")
def test_beds_are_asked(url: str) -> None:
    refuse_foreign(url)


def wait_for(reached: Any, what: str) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline, f"not within 20 s: {what}"
        time.sleep(0.01)

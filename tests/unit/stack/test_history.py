"""A watch tells of all that it hears, of its own failure, and ends when it is told to."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from kubernetes.client import ApiClient, Configuration
from rich.console import Console

from demo.screen import Screen
from stack import History, NotReachedError

ROUTE = {"metadata": {"name": "digits", "resourceVersion": "7"}}
CHANGED = {"metadata": {"name": "digits", "resourceVersion": "8"}, "spec": {}}


class ApiServer(BaseHTTPRequestHandler):
    """Has one object, which changes once; a watch stays open for as long as it may.

    `broken` has neither. `restarted` answers the first watch with an error, and drops the second.
    """

    protocol_version = "HTTP/1.1"
    watches_of_restarted = 0

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        status = 500 if "broken" in url.path else 200
        if "restarted" in url.path and "watch=" in url.query:
            ApiServer.watches_of_restarted += 1
            if ApiServer.watches_of_restarted == 2:
                self.close_connection = True
                return
            status = 503 if ApiServer.watches_of_restarted == 1 else 200
        self.send_response(status)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if "watch=" not in url.query:
            self._write({"metadata": {"resourceVersion": "7"}, "items": [ROUTE]})
            self.wfile.write(b"0\r\n\r\n")
            return
        if "resourceVersion=7" in url.query:
            self._write({"type": "MODIFIED", "object": CHANGED})
        self.connection.settimeout(4)
        try:
            self.rfile.read(1)
        except TimeoutError:
            return

    def _write(self, content: object) -> None:
        line = json.dumps(content).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def client() -> Iterator[ApiClient]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), ApiServer)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with ApiClient(Configuration(host=f"http://127.0.0.1:{server.server_port}")) as client:
        yield client
    server.shutdown()
    server.socket.close()
    thread.join()


def history(client: ApiClient, plural: str = "httproutes") -> History:
    return History(client, group="g", version="v1", plural=plural, namespace="ml", name="digits")


def test_it_tells_of_every_state(client: ApiClient) -> None:
    with history(client) as route:
        route.wait(lambda found: found == CHANGED, what="the change", timeout=10)
        assert [state.object for state in route.states] == [ROUTE, CHANGED]
        route.check()


def test_what_was_before_a_state_is_passed_over_if_that_is_wanted(client: ApiClient) -> None:
    with history(client) as route:
        changed = route.wait(lambda found: found == CHANGED, what="the change", timeout=10)
        assert route.wait(bool, what="any object", timeout=1).object == ROUTE
        assert route.wait(bool, what="any object", timeout=1, since=changed) is changed


def test_each_state_is_told_as_soon_as_it_is_heard_of(client: ApiClient) -> None:
    told: list[Any] = []
    watch: dict[str, Any] = {"group": "g", "version": "v1", "plural": "httproutes", "namespace": "ml"}
    with History(client, **watch, name="digits", tell=told.append) as route:
        route.wait(lambda found: found == CHANGED, what="the change", timeout=10)
        assert told == [ROUTE, CHANGED]


def test_its_end_is_waited_for_and_is_no_failure(client: ApiClient) -> None:
    with history(client) as route:
        route.wait(lambda found: found == CHANGED, what="the change", timeout=10)
        began = time.monotonic()
    assert time.monotonic() - began < 2, "a watch lasts 5 s"
    assert "watch of httproutes/digits" not in {thread.name for thread in threading.enumerate()}
    route.check()


def test_it_goes_on_when_the_api_server_is_back(client: ApiClient) -> None:
    with history(client, "restarted") as route:
        route.wait(lambda found: found == CHANGED, what="the change", timeout=10)
        assert [state.object for state in route.states] == [ROUTE, CHANGED]
        route.check()


def test_waiting_for_a_watch_that_failed_ends_at_once(client: ApiClient) -> None:
    with history(client, "broken") as route:
        with pytest.raises(NotReachedError, match="broken/digits: the watch failed"):
            route.wait(bool, what="an object", timeout=60)
        with pytest.raises(NotReachedError):
            route.check()


def test_the_demo_does_not_go_on_showing_what_nobody_watches(client: ApiClient) -> None:
    class Model:
        status: dict[str, Any] = {}  # noqa: RUF012

        def __init__(self, history: History) -> None:
            self.history = history

    class Load:
        answers: list[Any] = []  # noqa: RUF012

    with history(client, "broken") as route:
        model: Any = Model(route)
        load: Any = Load()
        screen = Screen(Console(file=StringIO()), model, load)
        with pytest.raises(NotReachedError, match="the watch failed"):
            screen.follow(lambda _: False, what="an end", timeout=60)

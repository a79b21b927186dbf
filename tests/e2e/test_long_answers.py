"""Answers that take longer than Envoy waits by itself: those under way when their version is taken back still come."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from stack import Serve
from stack.served import host_of, steps

TAKES = 18
"""Seconds for an answer. Envoy gives up after 15 by itself."""

_MODEL = f"""
import http.server, os, time

class Model(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("connection", "close")
        self.send_header("x-version", os.environ["MODEL_VERSION"])
        self.end_headers()
        if self.path == "/long":
            self.wfile.write(b"first words ")
            self.wfile.flush()
            time.sleep({TAKES})
        self.wfile.write(b"last words")

http.server.ThreadingHTTPServer(("", 8080), Model).serve_forever()
"""
"""Tells at once who answers, and takes its time with the rest; a SIGTERM ends it in the middle of a word."""

TEMPLATE: dict[str, Any] = {
    "spec": {
        "containers": [
            {
                "name": "server",
                "image": "localhost/model-server:bed",
                "imagePullPolicy": "IfNotPresent",
                "command": ["python3", "-c", _MODEL],
                "ports": [{"name": "http", "containerPort": 8080}],
                "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
            }
        ]
    }
}
REQUESTS = 20
"""At 50 per cent each, two of a million such stories have nobody on one of the versions."""


@dataclass
class Story:
    """A version that is taken back while callers of both versions wait for the rest of their answers."""

    versions: set[str]
    bodies: list[str]


def taken_back_in_mid_answer(serve: Serve) -> Story:
    spec: dict[str, Any] = {
        "template": TEMPLATE,
        "server": None,
        "warmUp": None,
        "replicas": 1,
        "service": {"longestAnswer": "30s"},
        "strategy": steps(50, 100, hold="1h"),
    }
    with serve("long", **spec) as model, ExitStack() as until_the_end:
        model.wait_serving("1.0.0")
        model.roll_out("1.1.0")
        model.wait_stage("1.1.0", "canary-50")
        client = until_the_end.enter_context(httpx.Client(trust_env=False, timeout=60))
        url, headers = f"{model.gateway_url()}/long", {"host": host_of(model.namespace)}
        under_way = [until_the_end.enter_context(client.stream("GET", url, headers=headers)) for _ in range(REQUESTS)]
        model.roll_out("1.0.0")
        model.wait_taken_back("1.1.0")
        with ThreadPoolExecutor(REQUESTS) as threads:
            bodies = list(threads.map(_read, under_way))
        return Story({answer.headers["x-version"] for answer in under_way}, bodies)


@pytest.mark.story(told_by=taken_back_in_mid_answer)
def test_callers_of_a_version_that_is_taken_back_get_the_whole_of_their_answers(story: Story) -> None:
    assert story.versions == {"1.0.0", "1.1.0"}
    assert story.bodies == ["first words last words"] * REQUESTS


def _read(answer: httpx.Response) -> str:
    try:
        return answer.read().decode()
    except httpx.HTTPError as error:
        return f"cut off: {error!r}"

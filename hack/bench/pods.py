"""The metrics of a fleet's pods, all in one page, as MLServer and a counter of one's own would have them.

It is a process of its own, so that it takes no turn of those who are measured.
"""

import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from subprocess import Popen
from typing import NamedTuple

import yaml

from modelrollout.api.labels import ATTEMPT, COLOUR, NAME
from modelrollout.metrics.meters import Histogram
from modelrollout.metrics.templates import load, sanitized

NAMESPACE = "default"
PODS_OF_EACH = 2
"""Of each version."""
SCRAPE_SECONDS = 15
ATTEMPTS: Mapping[str, int] = {"blue": 1, "green": 2}
"""Of the version in each colour: blue is stable."""
_REQUESTS_A_SCRAPE = 750
_EDGES = next(meter for meter in load("mlserver").meters if isinstance(meter, Histogram)).edges


class _Series(NamedTuple):
    """A series, and how much it grows from scrape to scrape."""

    text: str
    growth: int


def rollout(number: int) -> str:
    """Name of one of them."""
    return f"scorer-{number}"


@contextmanager
def serving(rollouts: int) -> Iterator[str]:
    """Yields the configuration of a Prometheus that scrapes the pods of this many rollouts."""
    listener = socket.create_server(("127.0.0.1", 0))
    argv = [sys.executable, "-m", "bench.pods", str(rollouts), str(listener.fileno())]
    with listener, Popen(argv, pass_fds=[listener.fileno()]) as process:
        try:
            target = f"127.0.0.1:{listener.getsockname()[1]}"
            job = {"job_name": "pods", "honor_labels": True, "static_configs": [{"targets": [target]}]}
            limits = {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": "10s"}
            yield yaml.safe_dump({"global": limits, "scrape_configs": [job]})
        finally:
            process.kill()


def _series(rollouts: int) -> Iterator[_Series]:
    for number in range(rollouts):
        for colour, attempt in ATTEMPTS.items():
            for pod in range(PODS_OF_EACH):
                yield from _of_pod(rollout(number), colour, attempt, pod)


def _of_pod(name: str, colour: str, attempt: int, pod: int) -> Iterator[_Series]:
    known_by = {NAME: name, COLOUR: colour, ATTEMPT: attempt}
    labels = {"namespace": NAMESPACE, "pod": f"{name}-{colour}-{pod}"}
    labels |= {sanitized(label): str(value) for label, value in known_by.items()}
    own = ",".join(f'{label}="{value}"' for label, value in labels.items())
    yield _Series(f"up{{{own}}} 1", 0)
    yield _Series(f"alerts_total{{{own}}} %d", 200)
    yield _Series(f'dismissed_total{{{own},reason="noise"}} %d', 9)
    request = f'{own},method="POST",path="/v2/models/scorer/infer"'
    for code, requests in (("200", _REQUESTS_A_SCRAPE), ("500", 1)):
        yield _Series(f'rest_server_requests_total{{{request},status_code="{code}"}} %d', requests)
    histogram, answered = "rest_server_request_duration_seconds", f'{request},status_code="200"'
    for place, edge in enumerate(_EDGES, start=1):
        share = _REQUESTS_A_SCRAPE * place // len(_EDGES)
        yield _Series(f'{histogram}_bucket{{{answered},le="{edge:g}"}} %d', share)
    yield _Series(f'{histogram}_bucket{{{answered},le="+Inf"}} %d', _REQUESTS_A_SCRAPE)
    yield _Series(f"{histogram}_count{{{answered}}} %d", _REQUESTS_A_SCRAPE)


def _serve(rollouts: int, listener: socket.socket) -> None:
    series = list(_series(rollouts))
    scrapes = iter(range(1, sys.maxsize))
    turn = threading.Lock()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with turn:
                scrape = next(scrapes)
                lines = (text % (growth * scrape) if growth else text for text, growth in series)
                page = ("\n".join(lines) + "\n").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.serve_forever()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
